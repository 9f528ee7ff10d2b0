/* SPDX-License-Identifier: Apache-2.0 */
#include "addon.h"

static bool wrong_type(napi_env env, const char *what, const char *expected)
{
	char message[256];

	snprintf(message, sizeof(message), "%s must be %s", what, expected);
	napi_throw_type_error(env, "ERR_INVALID_ARG_TYPE", message);
	return false;
}

static bool has_type(napi_env env, napi_value value, napi_valuetype type)
{
	napi_valuetype actual;

	return napi_typeof(env, value, &actual) == napi_ok && actual == type;
}

bool get_arguments(napi_env env, napi_callback_info info, size_t count, napi_value *values)
{
	return napi_get_cb_info(env, info, &count, values, NULL, NULL) == napi_ok;
}

bool get_u32(napi_env env, napi_value value, const char *what, uint32_t *number)
{
	double given;

	if (napi_get_value_double(env, value, &given) != napi_ok || !(given >= 0 && given <= UINT32_MAX) ||
	    given != (uint32_t)given)
		return wrong_type(env, what, "an integer from 0 to 4294967295");
	*number = given;
	return true;
}

bool get_bool(napi_env env, napi_value value, const char *what, bool *boolean)
{
	return napi_get_value_bool(env, value, boolean) == napi_ok || wrong_type(env, what, "a boolean");
}

bool get_text(napi_env env, napi_value value, const char *what, char *text, size_t size)
{
	size_t length;

	if (napi_get_value_string_utf8(env, value, NULL, 0, &length) != napi_ok)
		return wrong_type(env, what, "a string");
	if (length >= size)
		return wrong_type(env, what, "shorter");
	if (napi_get_value_string_utf8(env, value, text, size, &length) != napi_ok || strlen(text) != length)
		return wrong_type(env, what, "a string without NUL");
	return true;
}

bool get_bytes(napi_env env, napi_value value, const char *what, struct bytes *bytes)
{
	napi_typedarray_type type;
	bool is_array;

	if (napi_is_typedarray(env, value, &is_array) != napi_ok || !is_array ||
	    napi_get_typedarray_info(env, value, &type, &bytes->length, (void **)&bytes->data, NULL, NULL) != napi_ok ||
	    type != napi_uint8_array)
		return wrong_type(env, what, "a Uint8Array");
	return true;
}

bool get_function(napi_env env, napi_value value, const char *what, napi_value *function)
{
	if (!has_type(env, value, napi_function))
		return wrong_type(env, what, "a function");
	*function = value;
	return true;
}

bool is_undefined(napi_env env, napi_value value)
{
	return has_type(env, value, napi_undefined);
}

napi_value undefined(napi_env env)
{
	napi_value value;

	return napi_get_undefined(env, &value) == napi_ok ? value : NULL;
}

napi_value make_bool(napi_env env, bool boolean)
{
	napi_value value;

	return napi_get_boolean(env, boolean, &value) == napi_ok ? value : NULL;
}

napi_value make_u32(napi_env env, uint32_t number)
{
	napi_value value;

	return napi_create_uint32(env, number, &value) == napi_ok ? value : NULL;
}

napi_value make_text(napi_env env, const char *text)
{
	napi_value value;

	return napi_create_string_utf8(env, text, NAPI_AUTO_LENGTH, &value) == napi_ok ? value : NULL;
}

napi_value make_bytes(napi_env env, const void *data, size_t length)
{
	napi_value buffer, value;
	void *memory;

	if (napi_create_arraybuffer(env, length, &memory, &buffer) != napi_ok)
		return NULL;
	if (length)
		memcpy(memory, data, length);
	return napi_create_typedarray(env, napi_uint8_array, length, buffer, 0, &value) == napi_ok ? value : NULL;
}

void set(napi_env env, napi_value object, const char *name, napi_value value)
{
	if (value)
		napi_set_named_property(env, object, name, value);
}

void set_u32(napi_env env, napi_value object, const char *name, uint32_t number)
{
	set(env, object, name, make_u32(env, number));
}

void set_u64(napi_env env, napi_value object, const char *name, uint64_t number)
{
	napi_value value;

	if (napi_create_bigint_uint64(env, number, &value) == napi_ok)
		set(env, object, name, value);
}

void set_text(napi_env env, napi_value object, const char *name, const char *text)
{
	set(env, object, name, make_text(env, text));
}
