/* Decimal numbers: text to the nearest float64, whole numbers of hundredths to text. */

/* Powers that a float64 holds exactly, and those that a uint64 holds. */
#define EXACT_POWERS 23
#define MAX_DECIMALS 19
#define MAX_DIGITS 19

static const double POWERS[EXACT_POWERS] = {
    1e0,  1e1,  1e2,  1e3,  1e4,  1e5,  1e6,  1e7,  1e8,  1e9,  1e10, 1e11,
    1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18, 1e19, 1e20, 1e21, 1e22,
};

/* (high * 2^64) / divisor and what is left of it, for high < divisor and the top bit of divisor
 * set: schoolbook division by halves of 32 bits. */
static uint64_t divide_wide(uint64_t high, uint64_t divisor, uint64_t *left)
{
    const uint64_t top = divisor >> 32, low = divisor & 0xffffffffu;
    uint64_t quotient = 0;
    for (int half = 0; half < 2; half++) {
        uint64_t digit = high / top, over = high % top;
        while (digit >> 32 || digit * low > over << 32) {
            digit--;
            over += top;
            if (over >> 32)
                break;
        }
        high = (high << 32) - digit * divisor; /* modulo 2^64, and the result fits */
        quotient = quotient << 32 | digit;
    }
    *left = high;
    return quotient;
}

/* The float64 nearest to digits / 10^decimals, ties to even, as strtod does; decimals <= 19. */
static double nearest(uint64_t digits, int decimals)
{
    if (digits <= (uint64_t)1 << 53)
        return (double)digits / POWERS[decimals];
    if (decimals == 0)
        return (double)digits;
    uint64_t divisor = 1, left;
    for (int i = 0; i < decimals; i++)
        divisor *= 10;
    int exponent = 0;
    while (!(digits >> 63)) {
        digits <<= 1;
        exponent--;
    }
    while (!(divisor >> 63)) {
        divisor <<= 1;
        exponent++;
    }
    if (digits >= divisor) { /* halve, and keep the bit that falls out in what is left */
        const uint64_t quotient = divide_wide(digits - divisor, divisor, &left);
        /* 2^64 + quotient, 65 bits: keep the upper 54 and whether any below them is set */
        uint64_t kept = (uint64_t)1 << 53 | quotient >> 11;
        const int sticky = (quotient & 0x7ff) != 0 || left != 0;
        kept += (kept & 1) && (sticky || (kept & 2));
        return ldexp((double)(kept >> 1), exponent - 52);
    }
    const uint64_t quotient = divide_wide(digits, divisor, &left); /* 64 bits, the top one set */
    uint64_t kept = quotient >> 10;
    const int sticky = (quotient & 0x3ff) != 0 || left != 0;
    kept += (kept & 1) && (sticky || (kept & 2));
    return ldexp((double)(kept >> 1), exponent - 53);
}

/* The end of the number that begins at `at`, read exactly; -1 when there is none, when it has an
 * exponent, or more digits than can be handled here. Zeros in front of it are taken. */
static Py_ssize_t read_number(const uint8_t *text, Py_ssize_t length, Py_ssize_t at, double *value)
{
    uint64_t digits = 0;
    int count = 0, decimals = 0;
    const int negative = at < length && text[at] == '-';
    const Py_ssize_t start = at += negative;
    for (; at < length && text[at] >= '0' && text[at] <= '9'; at++) {
        digits = 10 * digits + (uint64_t)(text[at] - '0');
        count += digits > 0;
        if (count > MAX_DIGITS)
            return -1;
    }
    if (at == start)
        return -1;
    if (at < length && text[at] == '.') {
        const Py_ssize_t point = at++;
        for (; at < length && text[at] >= '0' && text[at] <= '9'; at++) {
            digits = 10 * digits + (uint64_t)(text[at] - '0');
            count += digits > 0;
            if (count > MAX_DIGITS || at - point > MAX_DECIMALS)
                return -1;
        }
        decimals = (int)(at - point - 1);
        if (decimals == 0)
            return -1;
    }
    if (at < length && (text[at] == 'e' || text[at] == 'E'))
        return -1;
    *value = negative ? -nearest(digits, decimals) : nearest(digits, decimals);
    return at;
}

/* At most 20 digits. */
static int write_digits(uint8_t *out, uint64_t number)
{
    uint8_t reversed[20];
    int count = 0;
    do {
        reversed[count++] = (uint8_t)('0' + number % 10);
        number /= 10;
    } while (number);
    for (int i = 0; i < count; i++)
        out[i] = reversed[count - 1 - i];
    return count;
}

/* number / 100 without zeros at the end, at most 21 characters. */
static int write_hundredths(uint8_t *out, int64_t number)
{
    const uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    const unsigned rest = (unsigned)(size % 100);
    int count = 0;
    if (number < 0)
        out[count++] = '-';
    count += write_digits(out + count, size / 100);
    if (rest) {
        out[count++] = '.';
        out[count++] = (uint8_t)('0' + rest / 10);
        if (rest % 10)
            out[count++] = (uint8_t)('0' + rest % 10);
    }
    return count;
}
