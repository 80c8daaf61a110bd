/* Rings that go round the mean of their vertices once without turning back. */

/* Above the error of a cross product, far below the bend of any vertex. */
#define BEND_TOLERANCE 1e-12

/* 1 for positive orientation in a y-down frame, -1 for the opposite, 0 for any other ring, one that
 * is not closed, or not finite. */
static int8_t star_of(const double *points, int64_t count)
{
    if (count < 4 || points[0] != points[2 * count - 2] || points[1] != points[2 * count - 1])
        return 0;
    double mean_x = 0, mean_y = 0;
    for (int64_t i = 0; i < count; i++) {
        mean_x += points[2 * i];
        mean_y += points[2 * i + 1];
    }
    mean_x /= (double)count;
    mean_y /= (double)count;
    int64_t onward = 0, backward = 0, upward = 0, downward = 0;
    double x = points[0] - mean_x, y = points[1] - mean_y;
    for (int64_t i = 1; i < count; i++) {
        const double next_x = points[2 * i] - mean_x, next_y = points[2 * i + 1] - mean_y;
        const double forth = x * next_y, back = y * next_x;
        const double slack = BEND_TOLERANCE * (fabs(forth) + fabs(back));
        onward += forth - back > slack;
        backward += forth - back < -slack;
        upward += y < 0 && !(next_y < 0);
        downward += !(y < 0) && next_y < 0;
        x = next_x;
        y = next_y;
    }
    if (onward == count - 1)
        return upward == 1;
    return backward == count - 1 && downward == 1 ? -1 : 0;
}

static PyObject *shapes_star_shaped(PyObject *Py_UNUSED(module), PyObject *args)
{
    static const struct want wants[3] = {
        {"points", "d", 8, 2, 0}, {"offsets", "lq", 8, 1, 0}, {"star", "b", 1, 1, 1}};
    PyObject *objects[3];
    Py_buffer views[3];
    enum outcome outcome = FINE;
    if (!PyArg_ParseTuple(args, "OOO:star_shaped", &objects[0], &objects[1], &objects[2]))
        return NULL;
    if (take_all(objects, wants, views, 3) < 0)
        return NULL;
    const Py_ssize_t n_rings = views[2].shape[0];
    if (views[0].shape[1] != 2 || views[1].shape[0] - 1 != n_rings) {
        PyErr_SetString(PyExc_ValueError, "points have two columns, and offsets one more than star");
        release_all(views, 3);
        return NULL;
    }
    const double *points = views[0].buf;
    const int64_t *offsets = views[1].buf;
    int8_t *star = views[2].buf;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t i = 0; i < n_rings && outcome == FINE; i++) {
        const int64_t first = offsets[i], last = offsets[i + 1];
        if (first < 0 || last < first || last > views[0].shape[0])
            outcome = BAD_OFFSETS;
        else
            star[i] = star_of(points + 2 * first, last - first);
    }
    Py_END_ALLOW_THREADS
    release_all(views, 3);
    if (raise_for(outcome) < 0)
        return NULL;
    Py_RETURN_NONE;
}
