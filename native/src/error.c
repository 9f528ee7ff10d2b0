/* SPDX-License-Identifier: Apache-2.0 */
#include <stdarg.h>
#include "addon.h"

#define ENOTSUPP 524 /* the kernel's own; not in errno.h */

struct instance {
	napi_ref error_class;
};

static void instance_free(napi_env env, void *data, void *hint)
{
	(void)env;
	(void)hint;
	free(data);
}

napi_value use_error_class(napi_env env, napi_callback_info info)
{
	struct instance *instance;
	napi_value class;

	if (!get_arguments(env, info, 1, &class) || !get_function(env, class, "useErrorClass: constructor", &class))
		return NULL;
	instance = calloc(1, sizeof(*instance));
	if (!instance || napi_create_reference(env, class, 1, &instance->error_class) != napi_ok ||
	    napi_set_instance_data(env, instance, instance_free, NULL) != napi_ok) {
		free(instance);
		napi_throw_error(env, NULL, "useErrorClass: out of memory");
	}
	return NULL;
}

/* libbpf's own, in the order of enum libbpf_errno. */
static const char *const libbpf_codes[] = {
    "LIBBPF_LIBELF",   "LIBBPF_FORMAT",	 "LIBBPF_KVERSION", "LIBBPF_ENDIAN",   "LIBBPF_INTERNAL",
    "LIBBPF_RELOC",    "LIBBPF_LOAD",	 "LIBBPF_VERIFY",   "LIBBPF_PROG2BIG", "LIBBPF_KVER",
    "LIBBPF_PROGTYPE", "LIBBPF_WRNGPID", "LIBBPF_INVSEQ",   "LIBBPF_NLPARSE",
};

_Static_assert(LIBBPF_ERRNO__FORMAT == __LIBBPF_ERRNO__START + 1, "libbpf_codes is in this order");
_Static_assert(LIBBPF_ERRNO__NLPARSE == __LIBBPF_ERRNO__START + 13, "libbpf_codes is in this order");

static const char *code_of(int err)
{
	const char *code = err == ENOTSUPP ? "ENOTSUPP" : strerrorname_np(err);

	if (err >= __LIBBPF_ERRNO__START && err <= LIBBPF_ERRNO__NLPARSE)
		return libbpf_codes[err - __LIBBPF_ERRNO__START];
	return code ? code : "EUNKNOWN";
}

static const char *words_of(int err, char *text, size_t size)
{
	const char *words = strerrordesc_np(err);

	if (err == ENOTSUPP)
		return "Operation not supported by the kernel";
	if (words)
		return words;
	libbpf_strerror(err, text, size); /* says "Unknown" and the number of what is not its own */
	return text;
}

static void set_all(struct failure *failure, int err, const char *call, const char *object, const char *detail,
		    va_list arguments)
{
	failure->err = err < 0 ? -err : err;
	if (failure->err == 0)
		failure->err = EIO;
	failure->call = call;
	failure->done = -1;
	snprintf(failure->object, sizeof(failure->object), "%s", object);
	failure->detail[0] = '\0';
	if (detail)
		vsnprintf(failure->detail, sizeof(failure->detail), detail, arguments);
}

void failure_set(struct failure *failure, int err, const char *call, const char *object, const char *detail, ...)
{
	va_list arguments;

	va_start(arguments, detail);
	set_all(failure, err, call, object, detail, arguments);
	va_end(arguments);
}

napi_value fail(napi_env env, int err, const char *call, const char *object, const char *detail, ...)
{
	struct failure failure = {0};
	va_list arguments;

	va_start(arguments, detail);
	set_all(&failure, err, call, object, detail, arguments);
	va_end(arguments);
	return failure_throw(env, &failure);
}

napi_value failure_error(napi_env env, const struct failure *failure)
{
	struct instance *instance = NULL;
	napi_value class, facts, log, error;
	char words[128];

	if (napi_get_instance_data(env, (void **)&instance) != napi_ok || !instance ||
	    napi_get_reference_value(env, instance->error_class, &class) != napi_ok || !class ||
	    napi_create_object(env, &facts) != napi_ok)
		return NULL;
	set_text(env, facts, "code", code_of(failure->err));
	set_text(env, facts, "call", failure->call);
	set_text(env, facts, "object", failure->object);
	set_text(env, facts, "detail",
		 failure->detail[0] ? failure->detail : words_of(failure->err, words, sizeof(words)));
	if (failure->log.length &&
	    napi_create_string_utf8(env, failure->log.data, failure->log.length, &log) == napi_ok)
		set(env, facts, "log", log);
	if (failure->done >= 0)
		set_u32(env, facts, "done", failure->done);
	if (napi_new_instance(env, class, 1, &facts, &error) != napi_ok)
		return NULL;
	return error;
}

napi_value failure_throw(napi_env env, const struct failure *failure)
{
	napi_value error = failure_error(env, failure);

	if (error)
		napi_throw(env, error);
	return NULL;
}
