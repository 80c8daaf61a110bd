/* tilescope._native._geojson: coordinates of GeoJSON, taken out of its text and written as text.
 *
 * Every function takes buffers that the caller owns, checks them, and releases the GIL around its
 * loop; nothing is allocated here and nothing recurses, however deep a text is nested.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "geojson_numbers.c"
#include "geojson_texts.c"
#include "views.c"

/* Points have two coordinates; an output that shares memory with another buffer would change it
 * meanwhile. */
static int check_views(const Py_buffer *views, const struct want *wants, int count)
{
    for (int i = 0; i < count; i++) {
        if (wants[i].ndim == 2 && views[i].shape[1] != 2) {
            PyErr_Format(PyExc_ValueError, "%s must have two columns", wants[i].name);
            return -1;
        }
        for (int k = 0; k < count; k++) {
            const char *a = views[i].buf, *b = views[k].buf;
            if (i != k && wants[i].writable && views[i].len > 0 && views[k].len > 0 &&
                a < b + views[k].len && b < a + views[i].len) {
                PyErr_Format(PyExc_ValueError, "%s overlaps %s in memory", wants[i].name,
                             wants[k].name);
                return -1;
            }
        }
    }
    return 0;
}

/* What is told of every object: where its text in the rest begins and ends; the end of its shapes
 * and of its numbers; where its id begins and ends in the text it comes from, 0 without one; the
 * first object known to leave the same text, maybe itself; whether the id is a UUID; and the 16 bytes
 * of that. */
enum told {
    REST_START, REST_END, SHAPES_END, NUMBERS_END, ID_START, ID_END, LIKE, IS_UUID, UUID,
    TOLD = UUID + 2,
};

/* What stands in place of the id, and of the first of an object's numbers, from first_number. */
#define ID_MARK (~(uint64_t)0)
#define NUMBER_MARK ((uint64_t)1 << 32)

/* Where to read, and what was found so far; counts never exceed their capacities. */
struct lifting {
    const uint8_t *text;
    Py_ssize_t length;
    uint8_t *rest;
    int64_t *objects, *shapes, *rings;
    double *points, *numbers;
    uint64_t first_number;
    int all; /* lift ids and measurements too, and count from the beginning of every object */
    Py_ssize_t max_rest, max_objects, max_shapes, max_rings, max_points, max_numbers;
    Py_ssize_t n_rest, n_objects, n_shapes, n_rings, n_points, n_numbers;
    Py_ssize_t shapes_before, numbers_before;
};

static Py_ssize_t after_space(const struct lifting *l, Py_ssize_t at)
{
    while (at < l->length && (l->text[at] == ' ' || l->text[at] == '\t' || l->text[at] == '\n' ||
                              l->text[at] == '\r'))
        at++;
    return at;
}

static int is_at(const struct lifting *l, Py_ssize_t at, char wanted)
{
    return at < l->length && l->text[at] == (uint8_t)wanted;
}

static int put_rest(struct lifting *l, const uint8_t *from, Py_ssize_t count)
{
    if (count > l->max_rest - l->n_rest)
        return -1;
    memcpy(l->rest + l->n_rest, from, (size_t)count);
    l->n_rest += count;
    return 0;
}

/* Write a number in place of what was lifted. */
static int put_mark(struct lifting *l, uint64_t number)
{
    uint8_t digits[20];
    return put_rest(l, digits, write_digits(digits, l->first_number + number));
}

/* The end of a vertex, whose numbers after the second are dropped; -1 for anything else. */
static Py_ssize_t lift_vertex(struct lifting *l, Py_ssize_t at)
{
    double numbers[3];
    int count = 0;
    if (!is_at(l, at, '['))
        return -1;
    do {
        at = read_number(l->text, l->length, after_space(l, at + 1), &numbers[count]);
        if (at < 0)
            return -1;
        count += count < 2;
        at = after_space(l, at);
    } while (is_at(l, at, ','));
    if (count < 2 || !is_at(l, at, ']') || l->n_points >= l->max_points)
        return -1;
    l->points[2 * l->n_points] = numbers[0];
    l->points[2 * l->n_points + 1] = numbers[1];
    l->n_points++;
    return at + 1;
}

/* The end of a list of vertices, of which there is at least one; -1 for anything else. */
static Py_ssize_t lift_ring(struct lifting *l, Py_ssize_t at)
{
    if (!is_at(l, at, '['))
        return -1;
    do {
        at = lift_vertex(l, after_space(l, at + 1));
        if (at < 0)
            return -1;
        at = after_space(l, at);
    } while (is_at(l, at, ','));
    if (!is_at(l, at, ']') || l->n_rings >= l->max_rings)
        return -1;
    l->rings[l->n_rings++] = l->n_points;
    return at + 1;
}

/* The end of a list of lists of vertices, with its number written in its place; -1, and nothing
 * lifted, for anything else. */
static Py_ssize_t lift_shape(struct lifting *l, Py_ssize_t at)
{
    const Py_ssize_t points = l->n_points, rings = l->n_rings;
    if (l->n_shapes < l->max_shapes) {
        do {
            at = lift_ring(l, after_space(l, at + 1));
            if (at < 0)
                break;
            at = after_space(l, at);
        } while (is_at(l, at, ','));
        const Py_ssize_t number = l->n_shapes - (l->all ? l->shapes_before : 0);
        if (at >= 0 && is_at(l, at, ']') && put_mark(l, (uint64_t)number) == 0) {
            l->shapes[l->n_shapes++] = l->n_rings;
            return at + 1;
        }
    }
    l->n_points = points;
    l->n_rings = rings;
    return -1;
}

/* The end of a string that begins at a quote; -1 when it does not end. */
static Py_ssize_t string_end(const struct lifting *l, Py_ssize_t at)
{
    for (at++; at < l->length; at++) {
        if (l->text[at] == '\\')
            at++;
        else if (l->text[at] == '"')
            return at + 1;
    }
    return -1;
}

static int says(const struct lifting *l, Py_ssize_t from, Py_ssize_t to, const char *word)
{
    const Py_ssize_t size = (Py_ssize_t)strlen(word);
    return to - from == size && memcmp(l->text + from, word, (size_t)size) == 0;
}

/* The end of the number of a measurement, with its mark written; -1 for anything else. */
static Py_ssize_t lift_number(struct lifting *l, Py_ssize_t at)
{
    double number;
    at = read_number(l->text, l->length, at, &number);
    if (at < 0 || l->n_numbers >= l->max_numbers)
        return -1;
    const Py_ssize_t after = after_space(l, at);
    if (!is_at(l, after, ',') && !is_at(l, after, '}'))
        return -1;
    if (put_mark(l, NUMBER_MARK + (uint64_t)(l->n_numbers - l->numbers_before)) < 0)
        return -1;
    l->numbers[l->n_numbers++] = number;
    return at;
}

/* The end of an id that is text without escapes, with its mark written; -1 for anything else. */
static Py_ssize_t lift_id(struct lifting *l, int64_t *told, Py_ssize_t at)
{
    const Py_ssize_t end = string_end(l, at);
    if (end < 0 || memchr(l->text + at, '\\', (size_t)(end - at)) || put_mark(l, ID_MARK) < 0)
        return -1;
    uint8_t uuid[16];
    told[ID_START] = at + 1;
    told[ID_END] = end - 1;
    told[IS_UUID] = read_uuid(l->text + at + 1, end - at - 2, uuid);
    if (told[IS_UUID])
        memcpy(&told[UUID], uuid, sizeof uuid);
    return end;
}

/* Which objects a place in the text is in, by their depths; -1 when in none. */
struct inside {
    Py_ssize_t depth, geometry, measurements;
};

/* The end of the value at `value` under the name text[from:to] when it was lifted; -1 when it stays.
 * What is copied up to here ends before the value. */
static Py_ssize_t lift_value(struct lifting *l, int64_t *told, const struct inside *in,
                             Py_ssize_t from, Py_ssize_t to, Py_ssize_t *copied, Py_ssize_t value)
{
    const int is_list = is_at(l, value, '[');
    const int shape = is_list && in->depth == in->geometry && says(l, from, to, "coordinates");
    const int id = l->all && in->depth == 1 && is_at(l, value, '"') && says(l, from, to, "id");
    const int number = l->all && in->depth == in->measurements && !is_list;
    if (!shape && !id && !number)
        return -1;
    const Py_ssize_t before = l->n_rest;
    if (put_rest(l, l->text + *copied, value - *copied) < 0)
        return -1;
    const Py_ssize_t end = shape ? lift_shape(l, value)
                           : id  ? lift_id(l, told, value)
                                 : lift_number(l, value);
    if (end < 0)
        l->n_rest = before;
    else
        *copied = end;
    return end;
}

/* The end of the object that begins at `at`, copied without what is lifted out of it; -1 when it
 * does not end in the text or finds no room. What is a geometry is told by the name before it. */
static Py_ssize_t lift_object(struct lifting *l, int64_t *told, Py_ssize_t at)
{
    struct inside in = {0, -1, -1};
    Py_ssize_t copied = at;
    while (at < l->length) {
        const uint8_t c = l->text[at];
        if (c == '"') {
            const Py_ssize_t start = at + 1;
            at = string_end(l, at);
            if (at < 0)
                return -1;
            const Py_ssize_t stop = at - 1, colon = after_space(l, at);
            if (!is_at(l, colon, ':'))
                continue;
            at = after_space(l, colon + 1);
            const Py_ssize_t end = lift_value(l, told, &in, start, stop, &copied, at);
            if (end >= 0)
                at = end;
            else if (is_at(l, at, '{')) {
                if (says(l, start, stop, "geometry") || says(l, start, stop, "nucleusGeometry"))
                    in.geometry = in.depth + 1;
                else if (says(l, start, stop, "measurements"))
                    in.measurements = in.depth + 1;
            }
            continue;
        }
        at++;
        if (c == '{' || c == '[') {
            in.depth++;
        }
        else if (c == '}' || c == ']') {
            in.geometry = in.depth == in.geometry ? -1 : in.geometry;
            in.measurements = in.depth == in.measurements ? -1 : in.measurements;
            if (--in.depth <= 0)
                return put_rest(l, l->text + copied, at - copied) < 0 ? -1 : at;
        }
    }
    return -1;
}

/* Lift objects that follow each other from `at` on; the end of the last whole one. */
static Py_ssize_t lift_all(struct lifting *l, Py_ssize_t at)
{
    Py_ssize_t end = at;
    const struct spans texts = {l->rest, l->objects, TOLD};
    struct known_texts known = {{0}};
    while (l->n_objects < l->max_objects && is_at(l, at, '{')) {
        const struct lifting before = *l;
        const uint8_t mark = l->n_objects ? ',' : '[';
        int64_t *told = l->objects + TOLD * l->n_objects;
        memset(told, 0, TOLD * sizeof *told);
        l->shapes_before = l->n_shapes;
        l->numbers_before = l->n_numbers;
        if (put_rest(l, &mark, 1) < 0 || (at = lift_object(l, told, at)) < 0 ||
            l->n_rest >= l->max_rest) {
            *l = before;
            break;
        }
        told[REST_START] = before.n_rest + 1;
        told[REST_END] = l->n_rest;
        told[SHAPES_END] = l->n_shapes;
        told[NUMBERS_END] = l->n_numbers;
        told[LIKE] = l->all ? first_alike(&texts, &known, l->n_objects) : l->n_objects;
        l->n_objects++;
        end = at;
        at = after_space(l, at);
        if (!is_at(l, at, ','))
            break;
        at = after_space(l, at + 1);
    }
    if (l->n_objects)
        l->rest[l->n_rest++] = ']';
    return end;
}

static PyObject *geojson_lift(PyObject *Py_UNUSED(module), PyObject *args)
{
    static const struct want wants[7] = {
        {"text", "B", 1, 1, 0},   {"rest", "B", 1, 1, 1},   {"objects", "lq", 8, 1, 1},
        {"shapes", "lq", 8, 1, 1}, {"rings", "lq", 8, 1, 1}, {"points", "d", 8, 2, 1},
        {"numbers", "d", 8, 1, 1},
    };
    PyObject *objects[7], *result = NULL;
    Py_buffer views[7];
    Py_ssize_t start, end;
    unsigned long long first_number;
    int all;
    if (!PyArg_ParseTuple(args, "OnKpOOOOOO:lift", &objects[0], &start, &first_number, &all,
                          &objects[1], &objects[2], &objects[3], &objects[4], &objects[5],
                          &objects[6]))
        return NULL;
    if (take_all(objects, wants, views, 7) < 0)
        return NULL;
    if (check_views(views, wants, 7) < 0)
        goto done;
    if (start < 0 || start > views[0].len) {
        PyErr_SetString(PyExc_ValueError, "start lies outside of the text");
        goto done;
    }
    struct lifting l = {
        .text = views[0].buf, .length = views[0].len, .rest = views[1].buf,
        .objects = views[2].buf, .shapes = views[3].buf, .rings = views[4].buf,
        .points = views[5].buf, .numbers = views[6].buf, .first_number = first_number, .all = all,
        .max_rest = views[1].len, .max_objects = views[2].shape[0] / TOLD,
        .max_shapes = views[3].shape[0], .max_rings = views[4].shape[0],
        .max_points = views[5].shape[0], .max_numbers = views[6].shape[0],
    };
    Py_BEGIN_ALLOW_THREADS
    end = lift_all(&l, start);
    Py_END_ALLOW_THREADS
    result = Py_BuildValue("nnnn", l.n_objects, end, l.n_rest, l.n_shapes);
done:
    release_all(views, 7);
    return result;
}

enum outcome { FINE, BAD_OFFSETS, NO_ROOM };

/* Two numbers of at most 22 characters each, a comma, brackets and a comma. */
#define VERTEX_CHARS 48

static enum outcome print_rings(const int64_t *points, Py_ssize_t n_points, const int64_t *offsets,
                                Py_ssize_t n_rings, uint8_t *out, Py_ssize_t room, int64_t *ends,
                                int bracketed)
{
    Py_ssize_t at = 0;
    for (Py_ssize_t ring = 0; ring < n_rings; ring++) {
        const int64_t first = offsets[ring], last = offsets[ring + 1];
        if (first < 0 || last < first || last > n_points)
            return BAD_OFFSETS;
        for (int64_t i = first; i < last; i++) {
            if (room - at < VERTEX_CHARS)
                return NO_ROOM;
            if (i > first)
                out[at++] = ',';
            if (bracketed)
                out[at++] = '[';
            at += write_hundredths(out + at, points[2 * i]);
            out[at++] = ',';
            at += write_hundredths(out + at, points[2 * i + 1]);
            if (bracketed)
                out[at++] = ']';
        }
        ends[ring] = at;
    }
    return FINE;
}

static PyObject *geojson_print_rings(PyObject *Py_UNUSED(module), PyObject *args)
{
    static const struct want wants[4] = {
        {"points", "lq", 8, 2, 0},
        {"offsets", "lq", 8, 1, 0},
        {"out", "B", 1, 1, 1},
        {"ends", "lq", 8, 1, 1},
    };
    PyObject *objects[4], *result = NULL;
    Py_buffer views[4];
    int bracketed;
    enum outcome outcome;
    if (!PyArg_ParseTuple(args, "OOOOp:print_rings", &objects[0], &objects[1], &objects[2],
                          &objects[3], &bracketed))
        return NULL;
    if (take_all(objects, wants, views, 4) < 0)
        return NULL;
    if (check_views(views, wants, 4) < 0)
        goto done;
    const Py_ssize_t n_rings = views[3].shape[0];
    if (views[1].shape[0] - 1 != n_rings) {
        PyErr_SetString(PyExc_ValueError, "offsets must be one more than ends");
        goto done;
    }
    Py_BEGIN_ALLOW_THREADS
    outcome = print_rings(views[0].buf, views[0].shape[0], views[1].buf, n_rings, views[2].buf,
                          views[2].len, views[3].buf, bracketed);
    Py_END_ALLOW_THREADS
    if (outcome == BAD_OFFSETS)
        PyErr_SetString(PyExc_ValueError, "offsets must rise from 0 to the number of points");
    else if (outcome == NO_ROOM)
        PyErr_SetString(PyExc_ValueError, "out is too short for the text");
    else {
        result = Py_None;
        Py_INCREF(result);
    }
done:
    release_all(views, 4);
    return result;
}

static PyMethodDef methods[] = {
    {"lift", geojson_lift, METH_VARARGS,
     "lift(text, start, first_number, all, rest, objects, shapes, rings, points, numbers)\n--\n\n"
     "Read objects separated by commas from text[start:], uint8[n], as many as there is room for;\n"
     "return how many were whole, where the last of them ends, the length of rest, and how many\n"
     "shapes there are. rest, uint8, gets the objects as a list in which first_number and those\n"
     "that follow stand for the lists of rings of vertices under coordinates in geometry and\n"
     "nucleusGeometry. shapes and rings, int64, get the end of each in rings and in points;\n"
     "points, float64[m, 2], gets the vertices exactly as float() reads them.\n"
     "With all, numbers, float64, gets the numbers in measurements, marked by first_number + 2**32\n"
     "and those that follow; first_number - 1 stands for the id; and every object counts from the\n"
     "first. objects, int64[10 * k], gets of each where its text in rest begins and ends, the end\n"
     "of its shapes and of its numbers, where its id in text begins and ends, the first object\n"
     "with the same text in rest as far as that is noticed, whether the id is a UUID, and its 16\n"
     "bytes."},
    {"print_rings", geojson_print_rings, METH_VARARGS,
     "print_rings(points, offsets, out, ends, bracketed)\n--\n\n"
     "Write rings of points, int64[m, 2] in hundredths, to out, uint8[48 * m], as x,y,x,y or\n"
     "[x,y],[x,y]; ends, int64[n], gets where the text of each ends."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_geojson",
    .m_doc = "Coordinates of GeoJSON over caller-owned arrays.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__geojson(void)
{
    return PyModuleDef_Init(&definition);
}
