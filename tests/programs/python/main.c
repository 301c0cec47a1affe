/* CPython as a static program. It has no loader for shared objects, so its modules are those that Debian builds into libpython3.11.a, the
 * standard library's Python files, and `_contextvars`, which Debian builds as a shared object only and which is four names.
 */
#include <Python.h>

static PyObject *copy_context(PyObject *self, PyObject *none)
{
	(void)self, (void)none;
	return PyContext_CopyCurrent();
}

static int add_types(PyObject *module)
{
	PyTypeObject *types[] = {&PyContext_Type, &PyContextVar_Type, &PyContextToken_Type};
	for (size_t i = 0; i < sizeof types / sizeof *types; i++)
		if (PyModule_AddType(module, types[i]) < 0)
			return -1;
	return 0;
}

static PyObject *contextvars(void)
{
	static PyMethodDef functions[] = {{"copy_context", copy_context, METH_NOARGS, NULL}, {0}};
	static PyModuleDef_Slot slots[] = {{Py_mod_exec, add_types}, {0}};
	static PyModuleDef module = {PyModuleDef_HEAD_INIT, .m_name = "_contextvars", .m_methods = functions, .m_slots = slots};
	return PyModuleDef_Init(&module);
}

static void must(PyStatus status)
{
	if (PyStatus_Exception(status))
		Py_ExitStatusException(status);
}

int main(int argc, char **argv)
{
	PyConfig config;
	PyImport_AppendInittab("_contextvars", contextvars);
	PyConfig_InitPythonConfig(&config);
	must(PyConfig_SetBytesArgv(&config, argc, argv));
	/* Without lib-dynload, whose shared objects cannot be loaded. */
	config.module_search_paths_set = 1;
	must(PyWideStringList_Append(&config.module_search_paths, L"/usr/lib/python3.11"));
	must(Py_InitializeFromConfig(&config));
	PyConfig_Clear(&config);
	return Py_RunMain();
}
