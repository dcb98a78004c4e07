/* One time step of a stream: ABOUT. NAME.c has the equations. */
#ifndef GUARD_H
#define GUARD_H

#ifdef __cplusplus
extern "C" {
#endif

enum { NAME_input_size = INPUTS, NAME_hidden_size = OUTPUTS, NAME_num_layers = LAYERS };

/* The state of one stream. A stream keeps nothing else between its steps, and streams share nothing. */
typedef struct {
FIELDS
} NAME_state;

/* Begins a sequence: sets the state that it starts from. */
void NAME_reset(NAME_state *state);

/* Runs one time step: reads the input x, updates the state, and writes the output of the last layer into y. y may be x. */
void NAME_step(NAME_state *state, const real x[INPUTS], real y[OUTPUTS]);

#ifdef __cplusplus
}
#endif

#endif
