/* Texts: UUIDs read, and equal ones among many found. */

/* 0 to 15 for a hexadecimal digit, else -1. */
static int hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Whether `length` characters are a UUID with its hyphens; if so its 16 bytes are in `out`. */
static int read_uuid(const uint8_t *text, Py_ssize_t length, uint8_t *out)
{
    if (length != 36)
        return 0;
    for (int i = 0, at = 0; i < 16; i++, at += 2) {
        if ((i == 4 || i == 6 || i == 8 || i == 10) && text[at++] != '-')
            return 0;
        const int high = hex_digit(text[at]), low = hex_digit(text[at + 1]);
        if (high < 0 || low < 0)
            return 0;
        out[i] = (uint8_t)(16 * high + low);
    }
    return 1;
}

/* Where texts begin and end: two numbers at the beginning of every row of `stride`. */
struct spans {
    const uint8_t *text;
    const int64_t *rows;
    int stride;
};

/* Texts that were new when they came, by their hashes; one that finds no place among these is taken
 * for new each time it comes. */
#define SLOTS 256
#define TRIALS 8

struct known_texts {
    int64_t rows[SLOTS]; /* counted from 1 */
};

static uint64_t hash_of(const uint8_t *text, int64_t length)
{
    uint64_t hash = (uint64_t)length, word;
    for (; length >= 8; text += 8, length -= 8) {
        memcpy(&word, text, 8);
        hash = (hash ^ word) * 0x9E3779B97F4A7C15u;
        hash ^= hash >> 29;
    }
    for (; length > 0; text++, length--)
        hash = (hash ^ *text) * 0x9E3779B97F4A7C15u;
    return hash ^ hash >> 32;
}

/* The first row with the same text as `row`, as far as is known. */
static int64_t first_alike(const struct spans *spans, struct known_texts *known, int64_t row)
{
    const int64_t *own = spans->rows + spans->stride * row;
    const uint8_t *text = spans->text + own[0];
    const int64_t length = own[1] - own[0];
    const uint64_t hash = hash_of(text, length);
    for (uint64_t i = 0; i < TRIALS; i++) {
        int64_t *slot = &known->rows[(hash + i) % SLOTS];
        if (*slot == 0) {
            *slot = row + 1;
            return row;
        }
        const int64_t *other = spans->rows + spans->stride * (*slot - 1);
        if (other[1] - other[0] == length &&
            memcmp(spans->text + other[0], text, (size_t)length) == 0)
            return *slot - 1;
    }
    return row;
}
