"""What a machine that can install nothing needs beside the working tree: wheels, compiled kernels, and which commit it runs."""
