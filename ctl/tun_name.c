#include "ctl/tun_name.h"

#include <glob.h>
#include <regex.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "daemon/base/files.h"

#define PREFIX "warren"
#define NAMES_MAX 256u /* networks on one host */
#define FILE_MAX_BYTES (1 << 20)

struct taken {
	bool v[NAMES_MAX];
};

/* Every word "warren" and a number, wherever it stands. Their count. */
static unsigned note_words(struct taken *t, const char *text)
{
	unsigned n = 0;

	for (const char *at = strstr(text, PREFIX); at; at = strstr(at + 1, PREFIX)) {
		char *end;
		unsigned long number = strtoul(at + strlen(PREFIX), &end, 10);

		if (end == at + strlen(PREFIX) || *end != '"')
			continue;
		n++;
		if (number < NAMES_MAX)
			t->v[number] = true;
	}
	return n;
}

static bool is_coordinators(const char *text)
{
	regex_t role;
	bool is_so;

	if (regcomp(&role, "^[[:space:]]*role[[:space:]]*=[[:space:]]*\"?coordinator",
		    REG_EXTENDED | REG_NEWLINE | REG_NOSUB))
		return false;
	is_so = regexec(&role, text, 0, NULL, 0) == 0;
	regfree(&role);
	return is_so;
}

static void note_file(struct taken *t, const char *path, bool is_main, char *text)
{
	int len = files_read(path, text, FILE_MAX_BYTES - 1);

	if (len < 0)
		return;
	text[len] = '\0';
	if (note_words(t, text) == 0 && is_main && !is_coordinators(text))
		t->v[0] = true;
}

static bool is_own(const char *path, const char *dir, const char *name)
{
	size_t len = strlen(dir) + 1;

	return strncmp(path + len, name, strlen(name)) == 0 && strncmp(path + len + strlen(name), ".conf", 5) == 0 &&
	       strchr("/.", path[len + strlen(name) + 5]) != NULL; /* NUL, for NAME.conf; NAME.conf.d/ */
}

static void note_files(struct taken *t, const char *dir, const char *name, const char *pattern, bool is_main)
{
	char *text = malloc(FILE_MAX_BYTES), path[4096];
	glob_t found = { 0 };

	snprintf(path, sizeof(path), "%s/%s", dir, pattern);
	if (text && glob(path, 0, NULL, &found) == 0)
		for (size_t i = 0; i < found.gl_pathc; i++)
			if (!is_own(found.gl_pathv[i], dir, name))
				note_file(t, found.gl_pathv[i], is_main, text);
	globfree(&found);
	free(text);
}

bool tun_name_find(const char *dir, const char *name, char out[static IF_NAMESIZE])
{
	struct taken t = { 0 };

	note_files(&t, dir, name, "*.conf", true);
	note_files(&t, dir, name, "*.conf.d/*.conf", false);
	for (unsigned i = 0; i < NAMES_MAX; i++) {
		snprintf(out, IF_NAMESIZE, PREFIX "%u", i);
		if (!t.v[i] && if_nametoindex(out) == 0)
			return true;
	}
	return false;
}
