/* An example: reads INPUTS numbers for each time step from stdin, and writes the OUTPUTS outputs of the step as a line.

       cc -O3 -march=native NAME.c NAME_main.c -o NAME && seq INPUTS | ./NAME */
#include <stdio.h>

#include "NAME.h"

int main(void)
{
    static NAME_state state;
    static real x[NAME_input_size], y[NAME_hidden_size];
    int count = 0;
    NAME_reset(&state);
    while (scanf("SCAN", &x[count]) == 1) {
        if (++count < NAME_input_size) continue;
        NAME_step(&state, x, y);
        for (int j = 0; j < NAME_hidden_size; j++) printf("PRINT%c", (double)y[j], j + 1 < NAME_hidden_size ? ' ' : '\n');
        count = 0;
    }
    if (count || !feof(stdin)) {
        fprintf(stderr, "stdin must hold INPUTS numbers for each time step: the last one has %d, or what follows is no number\n", count);
        return 1;
    }
    return 0;
}
