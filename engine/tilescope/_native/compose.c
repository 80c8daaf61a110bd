/* Bands of a picture windowed, bent by gamma and added up in colour, as words that a window paints.
 *
 * The picture is done in blocks of pixels that stay in the first-level cache. Of each visible band
 * a block becomes brightness in 16 bits, from a table for integers and by arithmetic for floats;
 * that times the band's colour is added to sums of red, green and blue, which are cut at white.
 */

/* Also the length of a table for bytes, so that a table can be packed like a block of pixels. */
enum { BLOCK = 256 };

/* Brightness counts in steps of 1/128 grey level: two of them never leave 16 bits. */
enum { STEP_SHIFT = 7, WHITE = 255 << STEP_SHIFT };

/* glibc chooses the wider loop when the module is loaded. Both give the same. */
#if defined(__x86_64__) && defined(__GLIBC__) && !defined(__clang__)                              \
    && !defined(__SANITIZE_ADDRESS__)
#define WIDE __attribute__((target_clones("avx2", "default")))
#else
#define WIDE
#endif

/* One row of the caller's windows, for floats. */
typedef struct {
    float low, scale, gamma;
} Window;

/* One row of the caller's colours, 65535 being full. */
typedef struct {
    uint16_t rgb[3];
} Colour;

/* A colour that no band has yet is NOTHING: clearing sums would take longer than adding to them. */
typedef struct {
    uint16_t level[BLOCK], sums[3][BLOCK];
    const uint16_t *sum[3];
    float value[BLOCK];
} Block;

static const uint16_t NOTHING[BLOCK];

/* log2 of a positive float, wrong by less than 2e-4; that of 1 is 0, and that of 0 is -127. */
static inline float log2_of(float x)
{
    int32_t bits;
    float f;
    memcpy(&bits, &x, sizeof(bits));
    const float octave = (float)((bits >> 23) - 127);
    bits = (bits & 0x007fffff) | 0x3f800000;
    memcpy(&f, &bits, sizeof(f));
    f -= 1.0f;
    f *= 1.43872556f + f * (-0.677782960f + f * (0.321187291f + f * -0.0821298910f));
    return octave + f;
}

/* 2 to the power of y for y from -125 to 0, wrong by less than 1e-4 of itself; that of 0 is 1. */
static inline float exp2_of(float y)
{
    float whole;
    const int32_t power = (int32_t)y;
    const float f = y - (float)power;
    const int32_t bits = (power + 127) * (1 << 23);
    memcpy(&whole, &bits, sizeof(whole));
    return whole * (1.0f + f * (0.691677385f + f * (0.231299822f + f * 0.0396224377f)));
}

/* The bounds of every loop are variables: on a constant that a later step could be computed from,
 * compilers branch, and a loop with branches is not widened. Every comparison with NaN is false,
 * so NaN becomes black. */
static void WIDE straight(const float *restrict value, uint16_t *restrict level,
                          const Window *window)
{
    const float low = window->low, scale = window->scale * WHITE;
    const float black = 0.0f * window->gamma, white = black + WHITE;
    for (int i = 0; i < BLOCK; i++) {
        float part = (value[i] - low) * scale;
        part = part > black ? part : black;
        part = part < white ? part : white;
        level[i] = (uint16_t)(int32_t)(part + 0.5f);
    }
}

static void WIDE curved(const float *restrict value, uint16_t *restrict level,
                        const Window *window)
{
    const float low = window->low, scale = window->scale, gamma = window->gamma;
    const float black = 0.0f * gamma, full = black + 1.0f, least = black - 125.0f;
    float power[BLOCK];
    for (int i = 0; i < BLOCK; i++) {
        float part = (value[i] - low) * scale;
        part = part > black ? part : black;
        part = part < full ? part : full;
        part = gamma * log2_of(part);
        power[i] = part > least ? part : least;
    }
    for (int i = 0; i < BLOCK; i++) {
        level[i] = (uint16_t)(int32_t)(exp2_of(power[i]) * WHITE + 0.5f);
    }
}

static void WIDE set_tint(uint16_t *restrict sum, const uint16_t *restrict level, uint16_t tint)
{
    for (int i = 0; i < BLOCK; i++) {
        sum[i] = (uint16_t)((uint32_t)level[i] * tint >> 16);
    }
}

static void WIDE add_tint(uint16_t *restrict sum, const uint16_t *restrict level, uint16_t tint)
{
    for (int i = 0; i < BLOCK; i++) {
        const uint16_t more = (uint16_t)((uint32_t)level[i] * tint >> 16);
        const uint16_t all = (uint16_t)(sum[i] + more);
        sum[i] = all < WHITE ? all : WHITE;
    }
}

/* Most bands have a pure colour, so that one sum of three grows. */
static void add_colour(Block *block, const Colour *colour)
{
    for (int c = 0; c < 3; c++) {
        if (colour->rgb[c] == 0) {
            continue;
        }
        if (block->sum[c] == NOTHING) {
            set_tint(block->sums[c], block->level, colour->rgb[c]);
            block->sum[c] = block->sums[c];
        }
        else {
            add_tint(block->sums[c], block->level, colour->rgb[c]);
        }
    }
}

static inline uint32_t grey_level(uint16_t sum)
{
    return (uint32_t)(uint16_t)(sum + (1 << (STEP_SHIFT - 1))) >> STEP_SHIFT;
}

static void WIDE pack(const Block *block, uint32_t *restrict words)
{
    const uint16_t *red = block->sum[0], *green = block->sum[1], *blue = block->sum[2];
    for (int i = 0; i < BLOCK; i++) {
        words[i] = 0xff000000u | grey_level(red[i]) << 16 | grey_level(green[i]) << 8
                   | grey_level(blue[i]);
    }
}

/* The next values of one band, four at a time because the step is not known when compiling. */
#define EACH(NAME, TYPE, TO, VALUE)                                                               \
    static void NAME(const char *src, Py_ssize_t step, Py_ssize_t count, const TO *restrict table, \
                     TO *restrict out)                                                            \
    {                                                                                             \
        Py_ssize_t i = 0;                                                                         \
        (void)table;                                                                              \
        for (; i + 4 <= count; i += 4, src += 4 * step) {                                         \
            const TYPE a = *(const TYPE *)src, b = *(const TYPE *)(src + step);                   \
            const TYPE c = *(const TYPE *)(src + 2 * step), d = *(const TYPE *)(src + 3 * step);  \
            out[i] = VALUE(a);                                                                    \
            out[i + 1] = VALUE(b);                                                                \
            out[i + 2] = VALUE(c);                                                                \
            out[i + 3] = VALUE(d);                                                                \
        }                                                                                         \
        for (; i < count; i++, src += step) {                                                     \
            out[i] = VALUE(*(const TYPE *)src);                                                   \
        }                                                                                         \
    }

#define IN_TABLE(value) table[value]
#define AS_IT_IS(value) value

EACH(levels_of_bytes, uint8_t, uint16_t, IN_TABLE)
EACH(levels_of_words, uint16_t, uint16_t, IN_TABLE)
EACH(colours_of_bytes, uint8_t, uint32_t, IN_TABLE)
EACH(floats, float, float, AS_IT_IS)

typedef struct {
    const Array *src;
    Kind kind;
    Py_ssize_t bands;
    const int32_t *band;
    const Colour *colours;
    const Window *windows;
    const uint16_t *levels;
    Py_ssize_t values;
} Composition;

static void levels_of_floats(Block *block, const char *src, Py_ssize_t step, Py_ssize_t count,
                       const Window *window)
{
    const float *value = (const float *)src;
    if (step != sizeof(float) || count < BLOCK) {
        floats(src, step, count, NULL, block->value);
        value = block->value;
    }
    if (window->gamma == 1.0f) {
        straight(value, block->level, window);
    }
    else {
        curved(value, block->level, window);
    }
}

static void add_band(const Composition *of, Block *block, const char *src, Py_ssize_t count,
                     Py_ssize_t k)
{
    const Py_ssize_t *strides = of->src->view.strides;
    const uint16_t *levels = of->levels + of->values * k;
    src += of->band[k] * strides[2];
    switch (of->kind) {
    case KIND_U8:
        levels_of_bytes(src, strides[1], count, levels, block->level);
        break;
    case KIND_U16:
        levels_of_words(src, strides[1], count, levels, block->level);
        break;
    default:
        levels_of_floats(block, src, strides[1], count, &of->windows[k]);
    }
    add_colour(block, &of->colours[k]);
}

static void clear_sums(Block *block)
{
    for (int c = 0; c < 3; c++) {
        block->sum[c] = NOTHING;
    }
}

static void compose_row(const Composition *of, Block *block, const char *src, Py_ssize_t w,
                        uint32_t *dst)
{
    uint32_t words[BLOCK];
    for (Py_ssize_t x = 0; x < w; x += BLOCK) {
        const Py_ssize_t count = w - x < BLOCK ? w - x : BLOCK;
        clear_sums(block);
        for (Py_ssize_t k = 0; k < of->bands; k++) {
            add_band(of, block, src + x * of->src->view.strides[1], count, k);
        }
        pack(block, count == BLOCK ? dst + x : words);
        if (count < BLOCK) {
            memcpy(dst + x, words, (size_t)count * sizeof(*words));
        }
    }
}

/* One band of bytes has 256 colours: they are made first, like a block of pixels, and looked up. */
static void compose_byte_row(const Composition *of, const uint32_t *colours, const char *src,
                             Py_ssize_t w, uint32_t *dst)
{
    const Py_ssize_t *strides = of->src->view.strides;
    colours_of_bytes(src + of->band[0] * strides[2], strides[1], w, colours, dst);
}

static void compose_loop(const Composition *of, uint32_t *dst)
{
    const Py_ssize_t h = of->src->view.shape[0], w = of->src->view.shape[1];
    const int one_byte = of->kind == KIND_U8 && of->bands == 1;
    uint32_t colours[BLOCK];
    Block block;
    memset(&block, 0, sizeof(block));
    if (one_byte) {
        memcpy(block.level, of->levels, sizeof(block.level));
        clear_sums(&block);
        add_colour(&block, of->colours);
        pack(&block, colours);
    }
    for (Py_ssize_t y = 0; y < h; y++) {
        const char *src = (const char *)of->src->view.buf + y * of->src->view.strides[0];
        if (one_byte) {
            compose_byte_row(of, colours, src, w, dst + y * w);
        }
        else {
            compose_row(of, &block, src, w, dst + y * w);
        }
    }
}

enum { PIXELS, WORDS, BANDS, COLOURS, WINDOWS, LEVELS, COMPOSE_ARRAYS };

static int compose_take(Array *a, PyObject **objects)
{
    if (array_take_strided(&a[PIXELS], objects[PIXELS], "src", 3) < 0
        || array_take(&a[WORDS], objects[WORDS], "dst", 2, 1) < 0
        || array_take(&a[BANDS], objects[BANDS], "bands", 1, 0) < 0
        || array_take(&a[COLOURS], objects[COLOURS], "colours", 2, 0) < 0
        || array_take(&a[WINDOWS], objects[WINDOWS], "windows", 2, 0) < 0
        || array_take(&a[LEVELS], objects[LEVELS], "levels", 2, 0) < 0) {
        return -1;
    }
    for (int i = 0; i < COMPOSE_ARRAYS; i++) {
        if (i != WORDS && check_apart(&a[WORDS], &a[i]) < 0) {
            return -1;
        }
    }
    return 0;
}

static int compose_check_kinds(const Array *a, Kind *kind)
{
    if (source_kind(&a[PIXELS], kind) < 0
        || check_kind(&a[WORDS], KIND_U32, "dst", "uint32") < 0
        || check_kind(&a[BANDS], KIND_I32, "bands", "int32") < 0
        || check_kind(&a[COLOURS], KIND_U16, "colours", "uint16") < 0
        || check_kind(&a[WINDOWS], KIND_F32, "windows", "float32") < 0
        || check_kind(&a[LEVELS], KIND_U16, "levels", "uint16") < 0) {
        return -1;
    }
    return 0;
}

static int compose_check_tables(const Array *a, Kind kind)
{
    const Py_ssize_t bands = a[BANDS].view.shape[0];
    const Py_ssize_t *colours = a[COLOURS].view.shape, *windows = a[WINDOWS].view.shape;
    const Py_ssize_t *levels = a[LEVELS].view.shape;
    if (colours[0] != bands || colours[1] != 3) {
        PyErr_SetString(PyExc_ValueError, "colours is not [bands, 3]");
        return -1;
    }
    if (kind == KIND_F32 && (windows[0] != bands || windows[1] != 3)) {
        PyErr_SetString(PyExc_ValueError, "windows is not [bands, 3]");
        return -1;
    }
    const Py_ssize_t values = kind == KIND_U8 ? BLOCK : 65536;
    if (kind != KIND_F32 && (levels[0] != bands || levels[1] != values)) {
        PyErr_Format(PyExc_ValueError, "levels is not [bands, %zd]", values);
        return -1;
    }
    return 0;
}

static int compose_check_shapes(const Array *a)
{
    const Py_ssize_t *src = a[PIXELS].view.shape, *dst = a[WORDS].view.shape;
    const int32_t *band = a[BANDS].view.buf;
    if (dst[0] != src[0] || dst[1] != src[1]) {
        PyErr_SetString(PyExc_ValueError, "dst is not [height, width] of src");
        return -1;
    }
    for (Py_ssize_t k = 0; k < a[BANDS].view.shape[0]; k++) {
        if (band[k] < 0 || band[k] >= src[2]) {
            PyErr_Format(PyExc_ValueError, "src has %zd bands, no band %d", src[2], (int)band[k]);
            return -1;
        }
    }
    return 0;
}

/* A positive gamma keeps every power finite; what is outside a window is cut anyway. */
static int compose_check_windows(const Array *a)
{
    const Window *windows = a[WINDOWS].view.buf;
    for (Py_ssize_t k = 0; k < a[BANDS].view.shape[0]; k++) {
        if (!(windows[k].gamma > 0.0f && windows[k].gamma <= 100.0f)) {
            PyErr_Format(PyExc_ValueError, "gamma %zd is not above 0 and up to 100", k);
            return -1;
        }
    }
    return 0;
}

static PyObject *pixels_compose(PyObject *Py_UNUSED(module), PyObject *args)
{
    PyObject *o[COMPOSE_ARRAYS];
    Array a[COMPOSE_ARRAYS];
    Kind kind;
    memset(a, 0, sizeof(a));
    if (!PyArg_ParseTuple(args, "OOOOOO:compose", &o[PIXELS], &o[WORDS], &o[BANDS], &o[COLOURS],
                          &o[WINDOWS], &o[LEVELS])) {
        return NULL;
    }
    if (compose_take(a, o) < 0 || compose_check_kinds(a, &kind) < 0
        || compose_check_tables(a, kind) < 0 || compose_check_shapes(a) < 0
        || (kind == KIND_F32 && compose_check_windows(a) < 0)) {
        return arrays_done(a, COMPOSE_ARRAYS, 1);
    }
    const Composition of = {
        .src = &a[PIXELS],
        .kind = kind,
        .bands = a[BANDS].view.shape[0],
        .band = a[BANDS].view.buf,
        .colours = a[COLOURS].view.buf,
        .windows = a[WINDOWS].view.buf,
        .levels = a[LEVELS].view.buf,
        .values = a[LEVELS].view.shape[1],
    };
    Py_BEGIN_ALLOW_THREADS
    compose_loop(&of, a[WORDS].view.buf);
    Py_END_ALLOW_THREADS
    return arrays_done(a, COMPOSE_ARRAYS, 0);
}
