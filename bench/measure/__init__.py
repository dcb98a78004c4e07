"""The measurement of a group of cases: problem → backends → gate → clock."""
