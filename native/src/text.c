/* SPDX-License-Identifier: Apache-2.0 */
#include "addon.h"

void text_add(struct text *text, const void *data, size_t length)
{
	if (text->failed || length == 0)
		return;
	if (text->length + length > text->room) {
		size_t room = text->room ? text->room : 4096;
		char *grown;

		while (room < text->length + length)
			room *= 2;
		grown = realloc(text->data, room);
		if (!grown) {
			text->failed = true;
			return;
		}
		text->data = grown;
		text->room = room;
	}
	memcpy(text->data + text->length, data, length);
	text->length += length;
}

void text_free(struct text *text)
{
	free(text->data);
	memset(text, 0, sizeof(*text));
}
