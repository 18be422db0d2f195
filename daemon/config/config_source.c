#include "daemon/config/config_source.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/nearest.h"
#include "daemon/config/config.h"
#include "daemon/config/config_keys.h"

/* libconfuse hands its callbacks nothing of ours, and its scanner is one per process: so is this. Set for the time of
 * config_source_open() only. */
static struct config_source *loading;

/* ---------------------------------------------------------------- errors */

int config_fail(char *error, const char *file, int line, const char *fmt, ...)
{
	va_list ap;
	int n;

	if (error[0] != '\0')
		return -1;
	n = snprintf(error, CONFIG_ERROR_BYTES, "%s:%d: ", file, line);
	if (n < 0 || n >= CONFIG_ERROR_BYTES)
		n = 0;
	va_start(ap, fmt);
	vsnprintf(error + n, (size_t)(CONFIG_ERROR_BYTES - n), fmt, ap);
	va_end(ap);
	for (char *p = error; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 0x7f)
			*p = '?'; /* one line, whatever a file is called */
	return -1;
}

/* A key in base64 is 43 letters and "=", a part of one may be less. */
static bool may_be_secret(const char *text)
{
	size_t run = 0;

	for (; *text; text++) {
		run = isalnum((unsigned char)*text) || *text == '+' || *text == '/' || *text == '=' ? run + 1 : 0;
		if (run >= 24 && !memchr(text - run + 1, '/', run))
			return true;
		if (run >= 40)
			return true;
	}
	return false;
}

const char *config_quote(const char *text, char out[static CONFIG_QUOTE_BYTES])
{
	size_t len = strlen(text);

	if (len > CONFIG_QUOTE_BYTES - 3 || may_be_secret(text)) {
		snprintf(out, CONFIG_QUOTE_BYTES, "this (not shown)");
		return out;
	}
	out[0] = '"';
	for (size_t i = 0; i < len; i++)
		out[1 + i] = isprint((unsigned char)text[i]) ? text[i] : '?';
	memcpy(out + 1 + len, "\"", 2);
	return out;
}

static const char *current_file(void)
{
	return loading->n_files > 0 ? config_source_file(loading->root) : "";
}

const char *config_source_file(const cfg_t *section)
{
	return section->filename ? section->filename : "";
}

/* Names the section for a message: "", " in listen", " in coordinator \"c1\"". */
static const char *where(const cfg_t *cfg, char *out, size_t size)
{
	char quoted[CONFIG_QUOTE_BYTES];

	if (strcmp(cfg->name, "root") == 0)
		snprintf(out, size, "%s", "");
	else if (cfg->title)
		snprintf(out, size, " in %s %s", cfg->name, config_quote(cfg->title, quoted));
	else
		snprintf(out, size, " in %s", cfg->name);
	return out;
}

static int unknown_key(cfg_t *cfg, const char *word)
{
	const char *section = strcmp(cfg->name, "root") == 0 ? "" : cfg->name;
	const struct config_key *elsewhere = config_key_find(NULL, word);
	const char *near = config_key_nearest(section, word);
	char in[CONFIG_QUOTE_BYTES * 2], list[256], quoted[CONFIG_QUOTE_BYTES];
	bool is_showable = near || elsewhere;

	where(cfg, in, sizeof(in));
	/* A word that resembles no key may be a piece of one that was pasted here. */
	if (!is_showable) {
		is_showable = strlen(word) <= NEAREST_WORD_MAX_BYTES;
		for (const char *p = word; *p; p++)
			is_showable = is_showable && (islower((unsigned char)*p) || *p == '_' || *p == '-');
	}
	config_quote(is_showable ? word : "", quoted);
	if (!is_showable)
		return config_fail(loading->error, current_file(), cfg->line,
				   "unknown key (not shown: it may be a secret)%s", in);
	if (near)
		return config_fail(loading->error, current_file(), cfg->line, "unknown key %s%s (did you mean \"%s\"?)",
				   quoted, in, near);
	if (elsewhere)
		return config_fail(loading->error, current_file(), cfg->line, "unknown key %s%s (it belongs %s%s)",
				   quoted, in, elsewhere->section[0] ? "in " : "outside of all sections",
				   elsewhere->section);
	return config_fail(loading->error, current_file(), cfg->line, "unknown key %s%s (known here: %s)", quoted, in,
			   config_key_list(section, list, sizeof(list)));
}

/* libconfuse's words are told from each other by its format strings; what it would quote is quoted our way. */
static void __attribute__((format(printf, 2, 0))) on_error(cfg_t *cfg, const char *fmt, va_list ap)
{
	char quoted[CONFIG_QUOTE_BYTES], words[256];

	if (!loading)
		return;
	if (strstr(fmt, "no such option") || strstr(fmt, "no sub-section")) {
		unknown_key(cfg, va_arg(ap, const char *));
	} else if (strstr(fmt, "unexpected token")) {
		config_fail(loading->error, current_file(), cfg->line, "%s is unexpected here",
			    config_quote(va_arg(ap, const char *), quoted));
	} else if (strstr(fmt, "duplicate title")) {
		config_fail(loading->error, current_file(), cfg->line, "%s is there twice",
			    config_quote(va_arg(ap, const char *), quoted));
	} else if (strstr(fmt, "premature end")) {
		config_fail(loading->error, current_file(), cfg->line, "the file ends too early");
	} else {
		vsnprintf(words, sizeof(words), fmt, ap);
		config_fail(loading->error, current_file(), cfg->line, "%s", words);
	}
}

/* ---------------------------------------------------------------- libconfuse's callbacks */

static int on_value(cfg_t *cfg, cfg_opt_t *opt, const char *value, void *result)
{
	size_t len = strlen(value);
	struct config_text *text = malloc(sizeof(*text) + len + 1);

	(void)opt;
	if (!text)
		return -1;
	/* The names in files[] outlive the tree; cfg's own change with each include. */
	text->file = loading->files[0];
	for (unsigned i = 0; i < loading->n_files; i++)
		if (strcmp(loading->files[i], current_file()) == 0)
			text->file = loading->files[i];
	text->line = cfg->line;
	memcpy(text->text, value, len + 1);
	*(void **)result = text;
	return 0;
}

static int parse_file(struct config_source *s, const char *path, const char *from_file, int from_line);

/* libconfuse's own include leaves its file stack standing after an error. */
static int on_include(cfg_t *cfg, cfg_opt_t *opt, int argc, const char **argv)
{
	const char *slash = strrchr(current_file(), '/');
	char path[4096], from[4096];
	int n, line = cfg->line, ret;

	(void)opt;
	if (argc != 1)
		return config_fail(loading->error, current_file(), line, "include takes one file's name");
	if (argv[0][0] == '/' || !slash)
		n = snprintf(path, sizeof(path), "%s", argv[0]);
	else
		n = snprintf(path, sizeof(path), "%.*s/%s", (int)(slash - current_file()), current_file(), argv[0]);
	snprintf(from, sizeof(from), "%s", current_file());
	if (n < 0 || (size_t)n >= sizeof(path) || loading->depth >= CONFIG_INCLUDE_DEPTH_MAX)
		return config_fail(loading->error, from, line, "files include each other too deeply");
	if (may_be_secret(argv[0]) && access(path, F_OK) < 0)
		return config_fail(loading->error, from, line, "include: no such file (its name is not shown)");
	loading->depth++;
	ret = parse_file(loading, path, from, line);
	loading->depth--;
	cfg->line = line;
	return ret;
}

/* ---------------------------------------------------------------- files */

/* The whole file with a NUL behind it, or NULL with the reason in *err. Only a regular file: a FIFO would stop us. */
static char *read_text(const char *path, size_t *len, int *err)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
	char *text = NULL;
	struct stat st;

	*len = 0;
	if (fd < 0) {
		*err = errno;
		return NULL;
	}
	if (fstat(fd, &st) < 0)
		*err = errno;
	else if (!S_ISREG(st.st_mode))
		*err = S_ISDIR(st.st_mode) ? EISDIR : EINVAL;
	else if (st.st_size > CONFIG_FILE_MAX_BYTES)
		*err = EFBIG;
	else if (!(text = malloc((size_t)st.st_size + 1)))
		*err = ENOMEM;
	while (text && *len < (size_t)st.st_size) {
		ssize_t n = read(fd, text + *len, (size_t)st.st_size - *len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n < 0) {
			*err = errno;
			free(text);
			text = NULL;
		}
		if (n <= 0)
			break;
		*len += (size_t)n;
	}
	close(fd);
	if (text)
		text[*len] = '\0';
	return text;
}

static int set_filename(cfg_t *root, const char *path)
{
	char *copy = strdup(path);

	if (!copy)
		return -1;
	free(root->filename);
	root->filename = copy;
	return 0;
}

/* Parses one file into the root; errors about the file itself are at the line that asked for it. */
static int parse_file(struct config_source *s, const char *path, const char *from_file, int from_line)
{
	const char *words;
	int err = 0, line, ret = -1;
	char *text = NULL;
	FILE *stream = NULL;
	size_t len;

	if (s->n_files == CONFIG_FILES_MAX)
		return config_fail(s->error, from_file, from_line, "more than %d files", CONFIG_FILES_MAX);
	text = read_text(path, &len, &err);
	if (!text)
		return config_fail(s->error, from_file, from_line, "%s%s%s", strcmp(path, from_file) ? path : "",
				   strcmp(path, from_file) ? ": " : "", strerror(err));
	s->files[s->n_files] = strdup(path);
	if (!s->files[s->n_files])
		goto out;
	s->n_files++;
	words = config_scan(text, len, &line);
	if (words) {
		config_fail(s->error, path, line, "%s", words);
		goto out;
	}
	if (len == 0) { /* fmemopen refuses it in old C libraries */
		ret = 0;
		goto out;
	}
	stream = fmemopen(text, len, "r");
	if (!stream || set_filename(s->root, path) < 0)
		goto out;
	ret = cfg_parse_fp(s->root, stream) == CFG_SUCCESS ? 0 : -1;
	if (set_filename(s->root, from_file) < 0)
		ret = -1;
out:
	if (ret < 0)
		config_fail(s->error, path, s->root->line, "syntax error");
	if (stream)
		fclose(stream);
	free(text);
	return ret;
}

static int is_drop_in(const struct dirent *e)
{
	size_t len = strlen(e->d_name);

	return e->d_name[0] != '.' && len > 5 && strcmp(e->d_name + len - 5, ".conf") == 0;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static int parse_drop_ins(struct config_source *s, const char *path)
{
	struct dirent **entries = NULL;
	char dir[4096], file[4096 + 256];
	int n, ret = 0;

	n = snprintf(dir, sizeof(dir), "%s.d", path);
	if (n < 0 || (size_t)n >= sizeof(dir))
		return 0; /* no directory of such a name can be there */
	n = scandir(dir, &entries, is_drop_in, by_name);
	if (n < 0 && errno != ENOENT && errno != ENOTDIR)
		ret = config_fail(s->error, dir, 0, "%s", strerror(errno));
	for (int i = 0; i < n; i++) {
		if (ret == 0) {
			snprintf(file, sizeof(file), "%s/%s", dir, entries[i]->d_name);
			ret = parse_file(s, file, file, 0);
		}
		free(entries[i]);
	}
	free(entries);
	return ret;
}

int config_source_open(struct config_source *s, const char *path, char *error)
{
	cfg_opt_t sections[CONFIG_SECTIONS_MAX][CONFIG_SECTION_KEYS_MAX + 1], root[CONFIG_SECTION_KEYS_MAX + 1];
	int ret = -1;

	*s = (struct config_source){ .error = error };
	error[0] = '\0';
	loading = s;
	s->root = cfg_init(config_key_options(root, sections, on_value, on_include), CFGF_NONE);
	if (s->root) {
		cfg_set_error_function(s->root, on_error);
		ret = parse_file(s, path, path, 0);
		if (ret == 0)
			ret = parse_drop_ins(s, path);
	}
	loading = NULL;
	if (ret < 0)
		config_fail(error, path, 0, "out of memory");
	return ret;
}

void config_source_close(struct config_source *s)
{
	if (s->root)
		cfg_free(s->root);
	for (unsigned i = 0; i < s->n_files; i++)
		free(s->files[i]);
	*s = (struct config_source){ 0 };
}
