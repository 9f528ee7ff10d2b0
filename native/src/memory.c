/* SPDX-License-Identifier: Apache-2.0 */
#include "addon.h"
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

/* What cannot be let go of (the vDSO is no file's) stays. Only what nobody may write: relocated data would be lost. */
static int drop_segments(struct dl_phdr_info *info, size_t size, void *data)
{
	uintptr_t page = sysconf(_SC_PAGESIZE);

	(void)size;
	(void)data;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		uintptr_t from = (info->dlpi_addr + segment->p_vaddr) & ~(page - 1);
		uintptr_t to = info->dlpi_addr + segment->p_vaddr + segment->p_memsz;

		if (segment->p_type == PT_LOAD && (segment->p_flags & (PF_X | PF_W)) == PF_X)
			madvise((void *)from, to - from, MADV_DONTNEED);
	}
	return 0;
}

napi_value drop_code(napi_env env, napi_callback_info info)
{
	(void)info;
	dl_iterate_phdr(drop_segments, NULL);
	return undefined(env);
}
