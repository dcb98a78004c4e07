"""Measures a group of cases: problem → backends → correctness check → clock."""
