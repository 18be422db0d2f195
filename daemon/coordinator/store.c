#include "daemon/coordinator/store.h"

#include <errno.h>
#include <fcntl.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/files.h"

#define APPLICATION_ID 0x57524e43 /* "WRNC": tells our file from any other SQLite file */

static const char certificate_schema[] = "CREATE TABLE certificate ("
					 "  key BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),"
					 "  data BLOB NOT NULL"
					 ") STRICT, WITHOUT ROWID";

static const char invitation_schema[] = "CREATE TABLE invitation ("
					"  serial BLOB NOT NULL PRIMARY KEY CHECK (length(serial) = 16),"
					"  key BLOB NOT NULL CHECK (length(key) = 32),"
					"  used INTEGER NOT NULL DEFAULT (unixepoch()),"
					"  expires INTEGER NOT NULL DEFAULT 0," /* 0: not known */
					"  ends INTEGER NOT NULL DEFAULT 0"     /* 0: never, or not known */
					") STRICT, WITHOUT ROWID";

static const char invitation_ends[] = "ALTER TABLE invitation ADD COLUMN expires INTEGER NOT NULL DEFAULT 0;"
				      "ALTER TABLE invitation ADD COLUMN ends INTEGER NOT NULL DEFAULT 0";

static const char lease_schema[] = "CREATE TABLE lease ("
				   "  key BLOB NOT NULL PRIMARY KEY CHECK (length(key) = 32),"
				   "  id INTEGER NOT NULL UNIQUE CHECK (id BETWEEN 1 AND 4294967294),"
				   "  granted INTEGER NOT NULL DEFAULT (unixepoch())"
				   ") STRICT, WITHOUT ROWID";

enum statement {
	FIND,
	TAKEN,
	INSERT,
	DELETE_KEY,
	DELETE_ID,
	BY_AGE,
	PUT_CERTIFICATE,
	DROP_CERTIFICATE,
	CERTIFICATES,
	SPEND,
	SPENDER,
	FORGET_ENDED,
	FORGET_REVOKED,
	BEGIN,
	COMMIT,
	ROLLBACK,
	N_STATEMENTS
};

static const char *const statement_text[N_STATEMENTS] = {
	[FIND] = "SELECT id FROM lease WHERE key = ?1",
	[TAKEN] = "SELECT 1 FROM lease WHERE id = ?1",
	[INSERT] = "INSERT INTO lease (key, id) VALUES (?1, ?2)",
	[DELETE_KEY] = "DELETE FROM lease WHERE key = ?1",
	[DELETE_ID] = "DELETE FROM lease WHERE id = ?1",
	[BY_AGE] = "SELECT key, id FROM lease ORDER BY granted, id",
	[PUT_CERTIFICATE] = "REPLACE INTO certificate (key, data) VALUES (?1, ?2)",
	[DROP_CERTIFICATE] = "DELETE FROM certificate WHERE key = ?1",
	[CERTIFICATES] = "SELECT data FROM certificate",
	[SPEND] = "INSERT INTO invitation (serial, key, expires, ends) VALUES (?1, ?2, ?3, ?4)",
	[SPENDER] = "SELECT key FROM invitation WHERE serial = ?1",
	[FORGET_ENDED] = "DELETE FROM invitation WHERE ends BETWEEN 1 AND ?1 - 1",
	[FORGET_REVOKED] = "DELETE FROM invitation WHERE serial = ?2 AND expires BETWEEN 1 AND ?1 - 1",
	[BEGIN] = "BEGIN IMMEDIATE",
	[COMMIT] = "COMMIT",
	[ROLLBACK] = "ROLLBACK",
};

struct store {
	sqlite3 *db;
	sqlite3_stmt *statements[N_STATEMENTS];
	uint32_t all_taken_below; /* no free number lies below; 0: unknown */
};

static int errno_of(int code)
{
	switch (code & 0xff) {
	case SQLITE_OK:
	case SQLITE_ROW:
	case SQLITE_DONE:
		return 0;
	case SQLITE_FULL:
		return -ENOSPC;
	case SQLITE_NOMEM:
		return -ENOMEM;
	case SQLITE_NOTADB:
	case SQLITE_CORRUPT:
		return -EUCLEAN;
	case SQLITE_READONLY:
		return -EROFS;
	case SQLITE_BUSY:
	case SQLITE_LOCKED:
		return -EBUSY;
	case SQLITE_CANTOPEN:
	case SQLITE_PERM:
		return -EACCES;
	case SQLITE_CONSTRAINT:
		return -EEXIST;
	default:
		return -EIO;
	}
}

/* A one-number query; the result is SQLite's code, SQLITE_ROW if *value is set. */
static int query_number(sqlite3 *db, const char *sql, int64_t *value)
{
	sqlite3_stmt *statement = NULL;
	int code = sqlite3_prepare_v2(db, sql, -1, &statement, NULL);

	if (code == SQLITE_OK) {
		code = sqlite3_step(statement);
		if (code == SQLITE_ROW)
			*value = sqlite3_column_int64(statement, 0);
	}
	sqlite3_finalize(statement);
	return code;
}

static int fail(char *error, size_t capacity, int ret, const char *path, const char *words)
{
	snprintf(error, capacity, "%s: %s", path, words);
	return ret;
}

/* SQLite takes a last page that is cut short for whole. With a WAL that is as may be: it brings the page again. */
static bool is_cut_short(sqlite3 *db, const char *path)
{
	int64_t page_bytes = 0;
	char wal[4096];
	struct stat st;

	snprintf(wal, sizeof(wal), "%s-wal", path);
	if (stat(wal, &st) == 0 && st.st_size > 0)
		return false;
	return stat(path, &st) < 0 || query_number(db, "PRAGMA page_size", &page_bytes) != SQLITE_ROW ||
	       page_bytes <= 0 || st.st_size % page_bytes != 0;
}

/* Reads only: a file that is not ours must stay as it is. */
static int check_file(sqlite3 *db, const char *path, char *error, size_t capacity)
{
	int64_t application = 0, version = 0;
	sqlite3_stmt *statement = NULL;
	int code = query_number(db, "PRAGMA application_id", &application);
	bool is_whole;

	if (code != SQLITE_ROW)
		return fail(error, capacity, errno_of(code), path,
			    errno_of(code) == -EUCLEAN ? "damaged, or not a database of warren" : sqlite3_errmsg(db));
	if (application != APPLICATION_ID)
		return fail(error, capacity, -EUCLEAN, path, "not a database of warren, or an empty file");
	if (query_number(db, "PRAGMA user_version", &version) != SQLITE_ROW || version < 1 ||
	    version > STORE_SCHEMA_VERSION) {
		snprintf(error, capacity, "%s: schema version %lld, this program knows up to %d", path,
			 (long long)version, STORE_SCHEMA_VERSION);
		return -EUCLEAN;
	}
	code = sqlite3_prepare_v2(db, "PRAGMA quick_check(1)", -1, &statement, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_step(statement);
	is_whole = code == SQLITE_ROW && strcmp((const char *)sqlite3_column_text(statement, 0), "ok") == 0;
	sqlite3_finalize(statement);
	if (!is_whole || is_cut_short(db, path))
		return fail(error, capacity, -EUCLEAN, path,
			    "damaged (quick_check): restore it from a backup, or move it away");
	return 0;
}

static int sync_directory_of(const char *path)
{
	const char *slash = strrchr(path, '/');
	char directory[4096];

	snprintf(directory, sizeof(directory), "%.*s", slash ? (int)(slash - path) + 1 : 1, slash ? path : ".");
	return files_sync_dir(directory);
}

/* Makes a whole empty database beside `path` and renames it there. */
static int create_file(const char *path, char *error, size_t capacity)
{
	char aside[4096], setup[128];
	sqlite3 *db = NULL;
	int fd, code, ret;

	if ((size_t)snprintf(aside, sizeof(aside), "%s.new", path) >= sizeof(aside))
		return fail(error, capacity, -ENAMETOOLONG, path, "the path is too long");
	if (unlink(aside) < 0 && errno != ENOENT)
		return fail(error, capacity, -errno, aside, strerror(errno));
	fd = open(aside, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC,
		  0600); /* SQLite gives -wal the same mode */
	if (fd < 0)
		return fail(error, capacity, -errno, aside, strerror(errno));
	close(fd);
	snprintf(setup, sizeof(setup), "PRAGMA application_id = %d; PRAGMA user_version = %d", APPLICATION_ID,
		 STORE_SCHEMA_VERSION);
	code = sqlite3_open_v2(aside, &db, SQLITE_OPEN_READWRITE, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, "PRAGMA synchronous = FULL", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, lease_schema, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, certificate_schema, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, invitation_schema, NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = sqlite3_exec(db, setup, NULL, NULL, NULL);
	ret = errno_of(code);
	if (ret)
		fail(error, capacity, ret, aside, db ? sqlite3_errmsg(db) : sqlite3_errstr(code));
	sqlite3_close(db);
	if (ret == 0 && (rename(aside, path) < 0 || sync_directory_of(path) < 0)) {
		ret = -errno;
		fail(error, capacity, ret, path, strerror(errno));
	}
	if (ret)
		unlink(aside);
	return ret;
}

/* All of it or nothing: a crash in between leaves the old version. SQLite's code. */
static int upgrade(sqlite3 *db)
{
	int64_t version = 0;
	char sql[1024];
	int code = query_number(db, "PRAGMA user_version", &version);

	if (code != SQLITE_ROW || version == STORE_SCHEMA_VERSION)
		return code == SQLITE_ROW ? SQLITE_OK : code;
	snprintf(sql, sizeof(sql), "BEGIN IMMEDIATE; %s; %s; PRAGMA user_version = %d; COMMIT",
		 version < 2 ? certificate_schema : "", version < 3 ? invitation_schema : invitation_ends,
		 STORE_SCHEMA_VERSION);
	code = sqlite3_exec(db, sql, NULL, NULL, NULL);
	if (code != SQLITE_OK && !sqlite3_get_autocommit(db))
		sqlite3_exec(db, "ROLLBACK", NULL, NULL, NULL);
	return code;
}

int store_open(struct store **out, const char *path, char *error, size_t capacity)
{
	struct store *s;
	struct stat st;
	int code, ret = 0;

	if (lstat(path, &st) < 0) {
		if (errno != ENOENT)
			return fail(error, capacity, -errno, path, strerror(errno));
		ret = create_file(path, error, capacity);
		if (ret)
			return ret;
	} else if (!S_ISREG(st.st_mode)) {
		return fail(error, capacity, -EUCLEAN, path, "not a regular file");
	}
	s = calloc(1, sizeof(*s));
	if (!s)
		return fail(error, capacity, -ENOMEM, path, strerror(ENOMEM));
	code = sqlite3_open_v2(path, &s->db, SQLITE_OPEN_READWRITE | SQLITE_OPEN_NOMUTEX, NULL);
	if (code != SQLITE_OK) {
		ret = fail(error, capacity, errno_of(code), path, s->db ? sqlite3_errmsg(s->db) : sqlite3_errstr(code));
		goto out;
	}
	sqlite3_extended_result_codes(s->db, 1);
	sqlite3_busy_timeout(s->db, 100); /* somebody reads it with the sqlite3 program: do not hold the loop long */
	ret = check_file(s->db, path, error, capacity);
	if (ret)
		goto out;
	code = sqlite3_exec(s->db, "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL", NULL, NULL, NULL);
	if (code == SQLITE_OK)
		code = upgrade(s->db);
	for (unsigned i = 0; code == SQLITE_OK && i < N_STATEMENTS; i++)
		code = sqlite3_prepare_v3(s->db, statement_text[i], -1, SQLITE_PREPARE_PERSISTENT, &s->statements[i],
					  NULL);
	if (code != SQLITE_OK)
		ret = fail(error, capacity, errno_of(code), path, sqlite3_errmsg(s->db));
out:
	if (ret)
		store_close(s);
	else
		*out = s;
	return ret;
}

void store_close(struct store *s)
{
	if (!s)
		return;
	for (unsigned i = 0; i < N_STATEMENTS; i++)
		sqlite3_finalize(s->statements[i]);
	sqlite3_close(s->db);
	free(s);
}

/* Runs a statement that yields at most one number. 1: *value is set, 0: done, or a negative errno. */
static int run(struct store *s, enum statement which, const struct pubkey *key, uint32_t id, uint32_t *value)
{
	sqlite3_stmt *statement = s->statements[which];
	int n = sqlite3_bind_parameter_count(statement), code, ret;

	if (key)
		sqlite3_bind_blob(statement, 1, key->b, sizeof(key->b), SQLITE_STATIC);
	if (n > (key ? 1 : 0))
		sqlite3_bind_int64(statement, key ? 2 : 1, id);
	code = sqlite3_step(statement);
	if (code == SQLITE_ROW && value)
		*value = (uint32_t)sqlite3_column_int64(statement, 0);
	ret = code == SQLITE_ROW ? 1 : errno_of(code);
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return ret;
}

int store_find(struct store *s, const struct pubkey *key, uint32_t *id)
{
	int ret = run(s, FIND, key, 0, id);

	return ret == 1 ? 0 : ret ? ret : -ENOENT;
}

int store_begin(struct store *s)
{
	s->all_taken_below = 0; /* what is reserved may have changed */
	return run(s, BEGIN, NULL, 0, NULL);
}

int store_commit(struct store *s)
{
	int ret = run(s, COMMIT, NULL, 0, NULL);

	if (ret)
		store_rollback(s);
	return ret;
}

void store_rollback(struct store *s)
{
	s->all_taken_below = 0;
	if (!sqlite3_get_autocommit(s->db)) /* SQLite may have rolled back by itself when the disk was full */
		run(s, ROLLBACK, NULL, 0, NULL);
}

/* Replaces whatever the key had by `id`, which nobody has, in the transaction that is open. */
static int replace(struct store *s, const struct pubkey *key, uint32_t id)
{
	int ret = run(s, DELETE_KEY, key, 0, NULL);

	s->all_taken_below = 0;
	return ret ? ret : run(s, INSERT, key, id, NULL);
}

/* Runs `change` in a transaction of its own unless one is open. */
static int in_transaction(struct store *s, int (*change)(struct store *, const struct pubkey *, uint32_t),
			  const struct pubkey *key, uint32_t id)
{
	int ret;

	if (!sqlite3_get_autocommit(s->db))
		return change(s, key, id);
	ret = store_begin(s);
	if (ret)
		return ret;
	ret = change(s, key, id);
	if (ret) {
		store_rollback(s);
		return ret;
	}
	return store_commit(s);
}

static int take_from_holder(struct store *s, const struct pubkey *key, uint32_t id)
{
	int ret = run(s, DELETE_ID, NULL, id, NULL);

	return ret ? ret : replace(s, key, id);
}

int store_lease_fixed(struct store *s, const struct pubkey *key, uint32_t id)
{
	uint32_t now;

	if (id == 0 || id == UINT32_MAX)
		return -EINVAL;
	if (store_find(s, key, &now) == 0 && now == id)
		return 0;
	return in_transaction(s, take_from_holder, key, id);
}

/* The lowest number nobody has. -EADDRNOTAVAIL: none. */
static int lowest_free(struct store *s, const struct store_range *range, uint32_t *id)
{
	uint64_t at = range->first;

	if (s->all_taken_below > range->first && s->all_taken_below <= range->last)
		at = s->all_taken_below;
	for (; at <= range->last; at++) {
		int ret;

		if (range->is_reserved(range->arg, (uint32_t)at))
			continue;
		ret = run(s, TAKEN, NULL, (uint32_t)at, NULL);
		if (ret < 0)
			return ret;
		if (ret == 0) {
			*id = (uint32_t)at;
			return 0;
		}
	}
	return -EADDRNOTAVAIL;
}

/* The longest held lease, in the range, of a key that is not used any more. */
static int oldest_unused(struct store *s, const struct store_range *range, uint32_t *id)
{
	sqlite3_stmt *statement = s->statements[BY_AGE];
	int code, ret = -EADDRNOTAVAIL;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		uint32_t at = (uint32_t)sqlite3_column_int64(statement, 1);
		struct pubkey key;

		memcpy(key.b, sqlite3_column_blob(statement, 0), sizeof(key.b)); /* 32 bytes by the table's own check */
		if (at < range->first || at > range->last || range->is_reserved(range->arg, at) ||
		    !range->is_unused(range->arg, &key))
			continue;
		*id = at;
		ret = 0;
		break;
	}
	if (code != SQLITE_ROW && code != SQLITE_DONE)
		ret = errno_of(code);
	sqlite3_reset(statement);
	return ret;
}

int store_lease(struct store *s, const struct pubkey *key, const struct store_range *range, uint32_t *id)
{
	uint32_t at;
	int ret = store_find(s, key, &at);

	if (ret == 0 && at >= range->first && at <= range->last && !range->is_reserved(range->arg, at)) {
		*id = at;
		return 0;
	}
	if (ret && ret != -ENOENT)
		return ret;
	ret = lowest_free(s, range, &at);
	if (ret == -EADDRNOTAVAIL)
		ret = oldest_unused(s, range, &at);
	if (ret)
		return ret;
	ret = in_transaction(s, take_from_holder, key, at);
	if (ret)
		return ret;
	s->all_taken_below = at; /* set to unknown by the change, and known again: all below was found taken */
	*id = at;
	return 0;
}

/* ---------------------------------------------------------------- certificates */

static int step_once(struct store *s, enum statement which)
{
	sqlite3_stmt *statement = s->statements[which];
	int ret = errno_of(sqlite3_step(statement));

	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return ret;
}

int store_put_certificate(struct store *s, const struct pubkey *key, const void *data, size_t len)
{
	sqlite3_bind_blob(s->statements[PUT_CERTIFICATE], 1, key->b, sizeof(key->b), SQLITE_STATIC);
	sqlite3_bind_blob(s->statements[PUT_CERTIFICATE], 2, data, (int)len, SQLITE_STATIC);
	return step_once(s, PUT_CERTIFICATE);
}

int store_drop_certificate(struct store *s, const struct pubkey *key)
{
	return run(s, DROP_CERTIFICATE, key, 0, NULL);
}

int store_each_certificate(struct store *s, void (*fn)(void *arg, const uint8_t *data, size_t len), void *arg)
{
	sqlite3_stmt *statement = s->statements[CERTIFICATES];
	int code;

	while ((code = sqlite3_step(statement)) == SQLITE_ROW) {
		const void *data = sqlite3_column_blob(statement, 0);

		if (data)
			fn(arg, data, (size_t)sqlite3_column_bytes(statement, 0));
	}
	sqlite3_reset(statement);
	return errno_of(code);
}

/* ---------------------------------------------------------------- invitations */

/* One statement is one transaction, and its commit waits for the disk (synchronous=FULL). */
int store_spend(struct store *s, const struct store_invitation *used)
{
	sqlite3_stmt *statement = s->statements[SPEND];

	sqlite3_bind_blob(statement, 1, used->serial, sizeof(used->serial), SQLITE_STATIC);
	sqlite3_bind_blob(statement, 2, used->key.b, sizeof(used->key.b), SQLITE_STATIC);
	sqlite3_bind_int64(statement, 3, (sqlite3_int64)used->expires_s);
	sqlite3_bind_int64(statement, 4, (sqlite3_int64)used->ends_s);
	return step_once(s, SPEND);
}

int store_forget_ended(struct store *s, uint64_t before_s)
{
	sqlite3_bind_int64(s->statements[FORGET_ENDED], 1, (sqlite3_int64)before_s);
	return step_once(s, FORGET_ENDED);
}

int store_forget_revoked(struct store *s, const uint8_t serial[static STORE_SERIAL_BYTES], uint64_t before_s)
{
	sqlite3_bind_int64(s->statements[FORGET_REVOKED], 1, (sqlite3_int64)before_s);
	sqlite3_bind_blob(s->statements[FORGET_REVOKED], 2, serial, STORE_SERIAL_BYTES, SQLITE_STATIC);
	return step_once(s, FORGET_REVOKED);
}

int store_spender(struct store *s, const uint8_t serial[static STORE_SERIAL_BYTES], struct pubkey *key)
{
	sqlite3_stmt *statement = s->statements[SPENDER];
	int code, ret;

	sqlite3_bind_blob(statement, 1, serial, STORE_SERIAL_BYTES, SQLITE_STATIC);
	code = sqlite3_step(statement);
	ret = code == SQLITE_ROW ? 0 : code == SQLITE_DONE ? -ENOENT : errno_of(code);
	if (ret == 0)
		memcpy(key->b, sqlite3_column_blob(statement, 0),
		       sizeof(key->b)); /* 32 bytes by the table's own check */
	sqlite3_reset(statement);
	sqlite3_clear_bindings(statement);
	return ret;
}
