/* What an exported step calls. c_functions.py copies what a cell needs, and replaces what is in capitals, `real` by float or double, and
   `word` by the unsigned integer of its size. None of it branches, so that compilers make vector code of the loops that call it. */

NAME_INLINE real NAME_choose(word condition, real a, real b)
{
    union { real value; word bits; } yes, no;
    const word mask = 0u - condition;
    yes.value = a;
    no.value = b;
    yes.bits = (yes.bits & mask) | (no.bits & ~mask);
    return yes.value;
}

/* e^x = 2^n e^r with |r| <= ln 2 / 2: `power` = 2^n, 0 below its range, and `rest` = e^r - 1; NaN stays NaN. */
typedef struct { real power, rest; } NAME_parts;
NAME_INLINE NAME_parts NAME_split_exp(real x)
{
    const real above = NAME_choose(x > -LIMIT, x, -LIMIT), bounded = NAME_choose(above < LIMIT, above, LIMIT);
    const int n = (int)(bounded * 1.4426950408889634 + (BIAS + 1.5)) - (BIAS + 1);
    const real r = (bounded - (real)n * LN2_HIGH) - (real)n * LN2_LOW;
    const real rest = r * (EXP_SERIES);
    union { real value; word bits; } power;
    NAME_parts found;
    power.bits = (word)(n + BIAS) << MANTISSA;
    found.power = power.value;
    found.rest = NAME_choose(x == x, rest, x);
    return found;
}

NAME_INLINE real NAME_exp(real x)  /* (e^(x/2))^2, which covers the whole range of the type */
{
    const NAME_parts e = NAME_split_exp(x * 0.5);
    const real root = e.power + e.power * e.rest;
    return root * root;
}

NAME_INLINE real NAME_sigmoid(real x)
{
    const NAME_parts e = NAME_split_exp(-x);
    const real found = 1.0 / (1.0 + (e.power + e.power * e.rest));
    return NAME_choose(x < -LIMIT, 0.0, found);
}

NAME_INLINE real NAME_tanh(real x)  /* by e^2x - 1, which keeps its digits where x is small */
{
    const NAME_parts e = NAME_split_exp(x + x);
    const real less = e.power * e.rest + (e.power - 1.0);
    return less / (less + 2.0);
}

NAME_INLINE real NAME_artanh(real s)  /* for |s| up to a third */
{
    const real q = s * s;
    return s * (ARTANH_SERIES);
}

NAME_INLINE real NAME_log(real x)  /* x = 2^n m with m around 1, and log m = 2 artanh((m - 1) / (m + 1)) */
{
    const int tiny = x < SMALLEST;
    union { real value; word bits; } whole, part;
    int n, large;
    real m, tail, found;
    whole.value = NAME_choose((word)tiny, x * SCALE, x);
    part.bits = (whole.bits & (((word)1 << MANTISSA) - 1u)) | ((word)BIAS << MANTISSA);
    large = part.value > 1.3333333333333333;
    n = (int)((whole.bits >> MANTISSA) & (2 * BIAS + 1)) - BIAS + large - MANTISSA * tiny;
    m = NAME_choose((word)large, part.value * 0.5, part.value);
    tail = NAME_artanh((m - 1.0) / (m + 1.0));
    found = (real)n * LN2_HIGH + ((real)n * LN2_LOW + (tail + tail));
    return NAME_choose(x > 0.0, NAME_choose(x < INFINITY, found, x), NAME_choose(x == 0.0, -INFINITY, NAN));
}

NAME_INLINE real NAME_softplus(real x)  /* max(x, 0) + log(1 + e^-|x|) */
{
    const real e = NAME_exp(-NAME_abs(x));
    const real tail = NAME_artanh(e / (2.0 + e));
    return NAME_maximum(x, 0.0) + (tail + tail);
}

NAME_INLINE real NAME_sqrt(real x)  /* 1 / sqrt(x) by Newton's iteration from a guess by its bits, then one for the root */
{
    const word tiny = x < SMALLEST;
    const real v = NAME_choose(tiny, x * SCALE * SCALE, x);
    union { real value; word bits; } guess;
    real y, root;
    guess.value = v;
    guess.bits = ROOT_GUESS - (guess.bits >> 1);
    y = guess.value;
    y = y * (1.5 - 0.5 * v * y * y);
    y = y * (1.5 - 0.5 * v * y * y);
    y = y * (1.5 - 0.5 * v * y * y);
    y = y * (1.5 - 0.5 * v * y * y);
    root = v * y;
    root = root + 0.5 * y * (v - root * root);
    return NAME_choose(x > 0.0, NAME_choose(x < INFINITY, NAME_choose(tiny, root / SCALE, root), x), NAME_choose(x == 0.0, x, NAN));
}

NAME_INLINE real NAME_floor(real x)  /* past 2^MANTISSA every number is whole */
{
    const int large = !(x < SCALE && x > -SCALE);
    const real whole = (real)(long long)NAME_choose((word)large, 0.0, x);
    return NAME_choose((word)large, x, whole - NAME_choose(whole > x, 1.0, 0.0));
}

NAME_INLINE real NAME_power(real a, real b)  /* of positive values */
{
    return NAME_choose(b == 0.0, 1.0, NAME_exp(b * NAME_log(a)));
}

/* x = n pi/2 + r with |r| <= pi/4, and `quadrant` = n modulo 4. Past 10^15, where numbers are half a period apart, r is 0. The numbers have
   no points, so that they stay doubles. */
typedef struct { double r; int quadrant; } NAME_angle;
NAME_INLINE NAME_angle NAME_reduce_angle(real x)
{
    const double n = ((double)x * 636619772367581343e-18 + 6755399441055744e0) - 6755399441055744e0;
    const double r = (((double)x - n * 157079632673412561417e-20) - n * 607710050630396597660e-31) - n * 202226624879595063154e-41;
    const double part = n / 4 > -1e15 && n / 4 < 1e15 ? n / 4 : 0;
    NAME_angle found;
    found.r = r > -1 && r < 1 ? r : r * 0;
    found.quadrant = (int)(part * 4 - (double)(long long)part * 4) & 3;
    return found;
}

NAME_INLINE real NAME_quarter_wave(double r, int odd)  /* cos r if odd, else sin r */
{
    const double q = r * r;
    return (real)(odd ? COS_SERIES : r * (SIN_SERIES));
}

NAME_INLINE real NAME_sin(real x)
{
    const NAME_angle a = NAME_reduce_angle(x);
    const real found = NAME_quarter_wave(a.r, a.quadrant & 1);
    return a.quadrant & 2 ? -found : found;
}

NAME_INLINE real NAME_cos(real x)
{
    const NAME_angle a = NAME_reduce_angle(x);
    const real found = NAME_quarter_wave(a.r, (a.quadrant & 1) ^ 1);
    return (a.quadrant + 1) & 2 ? -found : found;
}

NAME_INLINE real NAME_erf(real x)  /* 2/sqrt(pi) e^(-x^2) (x + 2/3 x^3 + 4/15 x^5 + ...), whose terms are all of one sign */
{
    const real most = NAME_choose(x < 6.0, x, 6.0), v = NAME_choose(most > -6.0, most, -6.0);
    const real coarse = (real)(int)(v * 16.0) / 16.0, fine = NAME_exp((coarse - v) * (coarse + v));  /* the square of `coarse` is exact */
    double series = 1;
    for (int k = 130; k >= 1; k--) series = 1 + 2 * (double)v * (double)v / (2 * k + 1) * series;
    return NAME_choose(x == x, 1.1283791670955126 * v * NAME_exp(-coarse * coarse) * fine * (real)series, x);
}

static real NAME_sum(int n, const real *v)
{
    real part[16] = {0}, total = 0;
    int j = 0;
    for (; j + 16 <= n; j += 16) for (int k = 0; k < 16; k++) part[k] += v[j + k];
    for (; j < n; j++) part[j & 15] += v[j];
    for (int k = 0; k < 16; k++) total += part[k];
    return total;
}

static real NAME_largest(int n, const real *v)
{
    real found = v[0];
    for (int j = 1; j < n; j++) found = NAME_maximum(found, v[j]);
    return found;
}

NAME_INLINE real NAME_abs(real x)
{
    union { real value; word bits; } found;
    found.value = x;
    found.bits &= ~(word)0 >> 1;
    return found.value;
}

NAME_INLINE real NAME_relu(real x) { return NAME_choose(x <= 0.0, 0.0, x); }

NAME_INLINE real NAME_positive(real x) { return NAME_choose(x <= 0.0, 0.0, 1.0); }

NAME_INLINE real NAME_less(real a, real b) { return NAME_choose(a < b, 1.0, 0.0); }

NAME_INLINE real NAME_at_most(real a, real b) { return NAME_choose(a <= b, 1.0, 0.0); }

NAME_INLINE real NAME_where(real condition, real a, real b) { return NAME_choose(condition != 0.0, a, b); }

NAME_INLINE real NAME_maximum(real a, real b) { return NAME_choose(a > b, a, NAME_choose(b >= a, b, a + b)); }

NAME_INLINE real NAME_minimum(real a, real b) { return NAME_choose(a < b, a, NAME_choose(b <= a, b, a + b)); }

NAME_INLINE real NAME_hard_sigmoid(real x) { return NAME_minimum(NAME_maximum(x + 3.0, 0.0), 6.0) / 6.0; }

NAME_INLINE real NAME_hard_tanh(real x) { return NAME_minimum(NAME_maximum(x, -1.0), 1.0); }

/* y = a panel of ROWS rows * x. A panel is stored column by column, with columns of zeros up to a multiple of four. Returns its end. */
NAME_INLINE void NAME_add_columns_ROWS(real *sum, const real *panel, const real *x)
{
    const real x0 = x[0], x1 = x[1], x2 = x[2], x3 = x[3];
    for (int j = 0; j < 4 * ROWS; j += 64 / (int)sizeof(real)) NAME_PREFETCH((uintptr_t)(panel + j) + 4096);
    for (int j = 0; j < ROWS; j++)
        sum[j] += (panel[j] * x0 + panel[ROWS + j] * x1) + (panel[2 * ROWS + j] * x2 + panel[3 * ROWS + j] * x3);
}
static const real *NAME_multiply_ROWS(int columns, const real *panel, const real *x, real *y)
{
    real sum[ROWS] = {0}, rest[4] = {0};
    for (; columns >= 4; columns -= 4, x += 4, panel += 4 * ROWS) NAME_add_columns_ROWS(sum, panel, x);
    if (columns) {
        for (int k = 0; k < columns; k++) rest[k] = x[k];
        NAME_add_columns_ROWS(sum, panel, rest);
        panel += 4 * ROWS;
    }
    for (int j = 0; j < ROWS; j++) y[j] = sum[j];
    return panel;
}

/* y = matrix * x. A matrix is stored as panels, its rows a multiple of EIGHTH. */
static void NAME_multiply(int rows, int columns, const real *matrix, const real *x, real *y)
{
    for (; rows >= WHOLE; rows -= WHOLE, y += WHOLE) matrix = NAME_multiply_WHOLE(columns, matrix, x, y);
    if (rows >= HALF) matrix = NAME_multiply_HALF(columns, matrix, x, y), rows -= HALF, y += HALF;
    if (rows >= QUARTER) matrix = NAME_multiply_QUARTER(columns, matrix, x, y), rows -= QUARTER, y += QUARTER;
    if (rows >= EIGHTH) NAME_multiply_EIGHTH(columns, matrix, x, y);
}
