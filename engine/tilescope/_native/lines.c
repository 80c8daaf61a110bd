/* Thin smooth lines around rings: rows of dots at most a pixel apart, each spread over the four
 * pixels around it. */

/* Pixels that are covered less than this show nothing. */
#define FAINT (1.0f / 512.0f)

struct sheet {
    float *cover;    /* how much of each pixel lines cover, above 1 where several meet */
    int32_t *owners; /* the ring whose line came last; nothing where cover is 0 */
    int64_t h, w;
    int64_t dots_left;
};

/* One side of a ring; pixels are counted from the middle of the first one. */
struct side {
    double x, y, dx, dy;
};

/* Cut a side to what lies within a pixel of the sheet along one axis; 0 when nothing does. */
static int clip_axis(double at, double step, double far, double *enter, double *leave)
{
    if (step == 0)
        return at >= -1 && at <= far;
    const double a = (-1 - at) / step, b = (far - at) / step;
    const double first = a < b ? a : b, last = a < b ? b : a;
    *enter = first > *enter ? first : *enter;
    *leave = last < *leave ? last : *leave;
    return *enter < *leave;
}

static int clip_side(const struct sheet *s, struct side *side)
{
    double enter = 0, leave = 1;
    if (!isfinite(side->x) || !isfinite(side->y) || !isfinite(side->dx) || !isfinite(side->dy) ||
        (side->dx == 0 && side->dy == 0) ||
        !clip_axis(side->x, side->dx, (double)s->w, &enter, &leave) ||
        !clip_axis(side->y, side->dy, (double)s->h, &enter, &leave))
        return 0;
    side->x += side->dx * enter;
    side->y += side->dy * enter;
    side->dx *= leave - enter;
    side->dy *= leave - enter;
    return 1;
}

static inline void cover_pixel(struct sheet *s, int64_t x, int64_t y, double share, int32_t owner)
{
    if (x < 0 || y < 0 || x >= s->w || y >= s->h)
        return;
    s->cover[y * s->w + x] += (float)share;
    s->owners[y * s->w + x] = owner;
}

static void put_dot(struct sheet *s, double x, double y, double weight, int32_t owner)
{
    const double left = floor(x), top = floor(y);
    const double right = (x - left) * weight, low = y - top;
    const int64_t column = (int64_t)left, row = (int64_t)top;
    cover_pixel(s, column, row, (weight - right) * (1 - low), owner);
    cover_pixel(s, column + 1, row, right * (1 - low), owner);
    cover_pixel(s, column, row + 1, (weight - right) * low, owner);
    cover_pixel(s, column + 1, row + 1, right * low, owner);
}

static void draw_side(struct sheet *s, const struct side *side, int32_t owner, int64_t width_px)
{
    const double length = sqrt(side->dx * side->dx + side->dy * side->dy);
    if (!(length > 0))
        return;
    const int64_t count = length > 1 ? (int64_t)ceil(length) : 1;
    const double weight = length / (double)count;
    for (int64_t i = 0; i < count && s->dots_left > 0; i++, s->dots_left--) {
        const double share = ((double)i + 0.5) / (double)count;
        const double x = side->x + side->dx * share, y = side->y + side->dy * share;
        /* Lines of more than one pixel lie beside each other, at right angles to the side. */
        for (int64_t line = 0; line < width_px; line++) {
            const double away = ((double)line - (double)(width_px - 1) / 2) / length;
            put_dot(s, x - side->dy * away, y + side->dx * away, weight, owner);
        }
    }
}

static enum outcome draw_all(struct sheet *s, const double *points, int64_t total,
                             const int64_t *offsets, int64_t n, int64_t width_px)
{
    for (int64_t i = 0; i < n; i++) {
        const int64_t a = offsets[i], b = offsets[i + 1];
        if (a < 0 || b < a || b > total)
            return BAD_OFFSETS;
        for (int64_t j = a; j < b && s->dots_left > 0; j++) {
            const double *p = points + 2 * j, *q = points + 2 * (j + 1 < b ? j + 1 : a);
            struct side side = {p[0] - 0.5, p[1] - 0.5, q[0] - p[0], q[1] - p[1]};
            if (clip_side(s, &side))
                draw_side(s, &side, (int32_t)i, width_px);
        }
    }
    return FINE;
}

/* Premultiplied 0xAARRGGBB of a colour, of which alpha 256ths are seen, over another pixel. */
static inline uint32_t over(uint32_t below, uint32_t color, uint32_t alpha)
{
    const uint32_t every_other = 0x00ff00ffu, rest = 256 - alpha;
    uint32_t rb = ((color & every_other) * alpha >> 8) & every_other;
    uint32_t ag = (((color >> 8) & 0xffu) | 0x00ff0000u) * alpha & ~every_other;
    rb += ((below & every_other) * rest >> 8) & every_other;
    ag += ((below >> 8) & every_other) * rest & ~every_other;
    return rb | ag;
}

static void lay_over(const struct sheet *s, const uint32_t *colors, double opacity, uint32_t *picture)
{
    const float full = (float)(256 * opacity);
    for (int64_t i = 0; i < s->h * s->w; i++) {
        const float cover = s->cover[i];
        if (cover > FAINT)
            picture[i] = over(picture[i], colors[s->owners[i]],
                              (uint32_t)((cover < 1 ? cover : 1) * full));
    }
}

static PyObject *shapes_draw(PyObject *Py_UNUSED(module), PyObject *args)
{
    static const struct want wants[6] = {
        {"points", "d", 8, 2, 0},  {"offsets", "lq", 8, 1, 0}, {"colors", "IL", 4, 1, 0},
        {"cover", "f", 4, 2, 1},   {"owners", "il", 4, 2, 1},  {"picture", "IL", 4, 2, 1}};
    PyObject *o[6];
    Py_buffer v[6];
    double opacity;
    Py_ssize_t width_px, most_dots;
    if (!PyArg_ParseTuple(args, "OOOdnnOOO:draw", &o[0], &o[1], &o[2], &opacity, &width_px,
                          &most_dots, &o[3], &o[4], &o[5]))
        return NULL;
    if (take_all(o, wants, v, 6) < 0)
        return NULL;
    PyObject *result = NULL;
    if (check_sides(&v[5], "picture") < 0)
        goto done;
    if (v[0].shape[1] != 2 || v[1].shape[0] != v[2].shape[0] + 1 || v[2].shape[0] > INT32_MAX ||
        memcmp(v[3].shape, v[5].shape, 2 * sizeof(Py_ssize_t)) ||
        memcmp(v[4].shape, v[5].shape, 2 * sizeof(Py_ssize_t)) ||
        !(opacity >= 0 && opacity <= 1) || width_px < 1) {
        PyErr_SetString(PyExc_ValueError,
                        "draw: needs points[m, 2], offsets[n + 1], colors[n], an opacity from 0 "
                        "to 1, a width of 1 or more, and three images of one size");
        goto done;
    }
    struct sheet s = {v[3].buf, v[4].buf, v[5].shape[0], v[5].shape[1], most_dots};
    enum outcome outcome;
    Py_BEGIN_ALLOW_THREADS
    memset(s.cover, 0, (size_t)v[3].len);
    outcome = draw_all(&s, v[0].buf, v[0].shape[0], v[1].buf, v[2].shape[0], width_px);
    if (outcome == FINE)
        lay_over(&s, v[2].buf, opacity, v[5].buf);
    Py_END_ALLOW_THREADS
    if (raise_for(outcome) == 0)
        result = Py_NewRef(Py_None);
done:
    release_all(v, 6);
    return result;
}
