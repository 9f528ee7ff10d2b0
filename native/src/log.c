/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdarg.h>
#include "addon.h"

/* libbpf has one print function for the whole process; whom it speaks to is a matter of the thread it speaks in. */
static _Thread_local struct text *listener;

static int print(enum libbpf_print_level level, const char *format, va_list arguments)
{
	va_list again;
	char *line;
	int length;

	if (!listener || level == LIBBPF_DEBUG)
		return 0;
	va_copy(again, arguments);
	length = vasprintf(&line, format, again);
	va_end(again);
	if (length < 0)
		return 0;
	text_add(listener, line, length);
	free(line);
	return length;
}

static void install(void)
{
	libbpf_set_print(print);
}

void log_start(struct text *log)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, install);
	listener = log;
}

void log_stop(void)
{
	listener = NULL;
}
