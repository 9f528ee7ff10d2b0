/* SPDX-License-Identifier: Apache-2.0 */
#include "addon.h"

napi_value libbpf_version(napi_env env, napi_callback_info info)
{
	(void)info;
	return make_text(env, libbpf_version_string());
}

NAPI_MODULE_INIT(/* napi_env env, napi_value exports */)
{
#define DESCRIBE(name, function) {#name, NULL, function, NULL, NULL, NULL, napi_enumerable, NULL},
	const napi_property_descriptor functions[] = {FUNCTIONS(DESCRIBE)};
#undef DESCRIBE

	if (napi_define_properties(env, exports, sizeof(functions) / sizeof(functions[0]), functions) != napi_ok)
		return NULL;
	set_u32(env, exports, "possibleCpus", libbpf_num_possible_cpus());
	return exports;
}
