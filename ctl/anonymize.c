#include "ctl/anonymize.h"

#include <ctype.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/addr.h"

#define WORD_MAX_BYTES 128
#define KEY_TEXT_LEN 44  /* 32 bytes in base64 */
#define KEY_PREFIX_LEN 8 /* as tables show it */

enum kind {
	KIND_NAME,
	KIND_IP4,
	KIND_IP6,
	KIND_MAC,
	KIND_KEY,
	KIND_COUNT
};

struct word {
	char *text;
	enum kind kind;
	unsigned number; /* of its kind */
};

struct anonymizer {
	struct word *words;
	size_t n;
	unsigned n_of[KIND_COUNT];
	/* the text being made */
	FILE *out;
};

struct anonymizer *anonymizer_new(void)
{
	return calloc(1, sizeof(struct anonymizer));
}

void anonymizer_free(struct anonymizer *a)
{
	if (!a)
		return;
	for (size_t i = 0; i < a->n; i++)
		free(a->words[i].text);
	free(a->words);
	free(a);
}

static const struct word *find(const struct anonymizer *a, enum kind kind, const char *text, size_t len)
{
	for (size_t i = 0; i < a->n; i++)
		if (a->words[i].kind == kind && strncasecmp(a->words[i].text, text, len) == 0 &&
		    (a->words[i].text[len] == '\0' || (kind == KIND_KEY && len == KEY_PREFIX_LEN)))
			return &a->words[i];
	return NULL;
}

/* The known word, or a new one. Out of memory ends the program: a report half anonymous would be a betrayal. */
static const struct word *put(struct anonymizer *a, enum kind kind, const char *text, size_t len)
{
	const struct word *known = find(a, kind, text, len);
	struct word *more;

	if (known)
		return known;
	more = realloc(a->words, (a->n + 1) * sizeof(*a->words));
	if (!more)
		abort();
	a->words = more;
	a->words[a->n] = (struct word){ .text = strndup(text, len), .kind = kind, .number = ++a->n_of[kind] };
	if (!a->words[a->n].text)
		abort();
	return &a->words[a->n++];
}

void anonymizer_add_name(struct anonymizer *a, const char *name)
{
	if (name && strlen(name) >= 2 && strlen(name) < WORD_MAX_BYTES)
		put(a, KIND_NAME, name, strlen(name));
}

/* ---------------------------------------------------------------- what a run of characters is */

static bool is_word(char c)
{
	return isalnum((unsigned char)c) || c == '-' || c == '.' || c == '_';
}

static bool is_address(char c)
{
	return isxdigit((unsigned char)c) || c == '.' || c == ':';
}

static bool is_base64(char c)
{
	return isalnum((unsigned char)c) || c == '+' || c == '/' || c == '=';
}

static size_t run_of(const char *text, bool (*is)(char))
{
	size_t n = 0;

	while (is(text[n]))
		n++;
	return n;
}

/* Two digits and a colon, six times. */
static bool is_mac(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (i % 3 == 2 ? text[i] != ':' : !isxdigit((unsigned char)text[i]))
			return false;
	return len == 17;
}

/* What the run begins with that is an address, without the port or the full stop behind it; 0: nothing. */
static size_t address_length(const char *text, size_t len, struct ip *ip)
{
	char copy[ADDR_TEXT_BYTES];

	if (len >= sizeof(copy))
		return 0;
	memcpy(copy, text, len);
	for (size_t n = len; n >= 2; n--) {
		copy[n] = '\0';
		if ((n == len || text[n] == ':' || text[n] == '.') && ip_from_text(ip, copy) == 0)
			return n;
	}
	return 0;
}

static void say_address(struct anonymizer *a, const struct ip *ip)
{
	bool is_4 = ip->len == 4;
	char text[ADDR_TEXT_BYTES];
	unsigned n;

	ip_to_text(ip, text);
	if (ip_is_loopback(ip) || ip_is_unspecified(ip) || ip_is_broadcast(ip)) {
		fputs(text, a->out);
		return;
	}
	n = put(a, is_4 ? KIND_IP4 : KIND_IP6, text, strlen(text))->number;
	if (is_4)
		fprintf(a->out, "198.%u.%u.%u", 18 + (n >> 16 & 1), n >> 8 & 255, n & 255);
	else
		fprintf(a->out, "2001:db8::%x", n);
}

/* Each takes what it recognises at the beginning of `text` and returns how much that was, or 0. */
static size_t take_address(struct anonymizer *a, const char *text)
{
	size_t len = run_of(text, is_address), n;
	struct ip ip;

	if (is_mac(text, len)) {
		fprintf(a->out, "02:00:00:00:00:%02x", put(a, KIND_MAC, text, len)->number & 255);
		return len;
	}
	n = address_length(text, len, &ip);
	/* "1.2.3.4" of a longer word is a version or a name. */
	if (n == 0 || (n == len && is_word(text[n])))
		return 0;
	say_address(a, &ip);
	return n;
}

static size_t take_key(struct anonymizer *a, const char *text)
{
	size_t len = run_of(text, is_base64);
	const struct word *known;

	if (len == KEY_TEXT_LEN && text[len - 1] == '=') {
		fprintf(a->out, "key%05u%.*s=", put(a, KIND_KEY, text, len)->number, 35,
			"00000000000000000000000000000000000");
		return len;
	}
	known = len == KEY_PREFIX_LEN ? find(a, KIND_KEY, text, len) : NULL;
	if (!known || strncmp(known->text, text, len) != 0)
		return 0;
	fprintf(a->out, "key%05u", known->number);
	return len;
}

/* "enx" and its like, and a hardware address: systemd's name of an interface that has nothing better. */
static size_t take_interface(struct anonymizer *a, const char *text)
{
	static const char *const kinds[] = { "enx", "wlx", "wwx" };
	size_t len = run_of(text, is_word);
	char mac[18];

	if (len != 15)
		return 0;
	for (size_t i = 3; i < 15; i++)
		if (!isxdigit((unsigned char)text[i]))
			return 0;
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		if (strncmp(text, kinds[i], 3) != 0)
			continue;
		snprintf(mac, sizeof(mac), "%.2s:%.2s:%.2s:%.2s:%.2s:%.2s", text + 3, text + 5, text + 7, text + 9,
			 text + 11, text + 13);
		fprintf(a->out, "%s0200000000%02x", kinds[i], put(a, KIND_MAC, mac, 17)->number & 255);
		return len;
	}
	return 0;
}

static size_t take_name(struct anonymizer *a, const char *text)
{
	size_t len = run_of(text, is_word);
	const struct word *known;

	/* A name ends a sentence, too; and "c1.example.net" is told whole. */
	for (size_t n = len; n > 0; n--) {
		if (n < len && text[n] != '.')
			continue;
		known = find(a, KIND_NAME, text, n);
		if (known) {
			fprintf(a->out, "name%u", known->number);
			return n;
		}
	}
	return 0;
}

static size_t take(struct anonymizer *a, const char *text)
{
	size_t n = take_key(a, text);

	if (!n)
		n = take_address(a, text);
	if (!n)
		n = take_interface(a, text);
	if (!n)
		n = take_name(a, text);
	if (n)
		return n;
	/* Nothing: the whole word goes on as it is, so that no part of it is taken for something. */
	n = run_of(text, is_word);
	if (!n)
		n = 1;
	fwrite(text, 1, n, a->out);
	return n;
}

char *anonymize(struct anonymizer *a, const char *text)
{
	char *made = NULL;
	size_t len;

	a->out = open_memstream(&made, &len);
	if (!a->out)
		return NULL;
	while (*text)
		text += take(a, text);
	if (fclose(a->out) == 0)
		return made;
	free(made);
	return NULL;
}
