/* tilescope._native._pixels: the pixel loops that numpy cannot do within a factor of two.
 *
 * Limited API, buffer protocol only. No function allocates, keeps state or holds the GIL while it
 * loops; shapes, types and bounds are checked before, and a mistake is a Python exception.
 */

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>
#include <string.h>

#include "buffers.c"

#include "argb.c"
#include "box2.c"
#include "compose.c"
#include "planar.c"
#include "resample.c"

static PyMethodDef methods[] = {
    {"argb_over", pixels_argb_over, METH_VARARGS,
     "argb_over(src, dst, background)\n--\n\n"
     "Fill dst, uint8[h, w, 3], with premultiplied src, uint32[h, w], over an RGB background."},
    {"bands_last", pixels_bands_last, METH_VARARGS,
     "bands_last(src, dst)\n--\n\n"
     "Fill dst, [h, w, bands], with src, [bands, h, w]."},
    {"box2", pixels_box2, METH_VARARGS,
     "box2(src, dst)\n--\n\n"
     "Fill dst, [ceil(h / 2), ceil(w / 2), bands], with the means of 2 x 2 pixels of src."},
    {"compose", pixels_compose, METH_VARARGS,
     "compose(src, dst, bands, colours, windows, levels)\n--\n\n"
     "Fill dst, uint32[h, w], with bands of src in their colours. Each row of windows is low,\n"
     "1 / (high - low) and gamma, for floats; each row of levels is the brightness of all\n"
     "integers that there are, 32640 being full; 65535 is full colour."},
    {"resample", pixels_resample, METH_VARARGS,
     "resample(src, dst, x_start, x_weights, y_start, y_weights, scratch)\n--\n\n"
     "Fill dst with weighted sums of src; taps end at their first zero weight."},
    {NULL, NULL, 0, NULL},
};

static PyModuleDef_Slot slots[] = {
    {0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "_pixels",
    .m_doc = "Pixel loops over caller-owned arrays.",
    .m_size = 0,
    .m_methods = methods,
    .m_slots = slots,
};

PyMODINIT_FUNC PyInit__pixels(void)
{
    return PyModuleDef_Init(&definition);
}
