#include "daemon/user.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "daemon/base/dirs.h"
#include "daemon/base/log.h"
#include "daemon/base/privileges.h"
#include "daemon/control/proto.h"

#define USER_DEFAULT "warren"

static bool is_low(uint16_t port)
{
	return port > 0 && port < 1024;
}

static uint64_t capabilities_for(const struct config *config)
{
	bool has_low = is_low(config->listen.port) || is_low(config->listen.alternate_port);
	uint64_t keep = 0;

	for (unsigned i = 0; i < config->listen.n_tcp_ports; i++)
		has_low |= is_low(config->listen.tcp_ports[i]);
	if (config->role == CONFIG_PEER)
		keep |= (uint64_t)1 << CAP_NET_ADMIN;
	if (has_low)
		keep |= (uint64_t)1 << CAP_NET_BIND_SERVICE;
	return keep;
}

/* Makes it for the user if it is not there. What is there is left alone: whoever made it may have had reasons. */
static int prepare_directory(const char *path, mode_t mode, const char *name, const struct privileges_user *user)
{
	struct stat st;
	int ret;

	if (stat(path, &st) == 0) {
		if (st.st_uid == user->uid || (st.st_gid == user->gid && st.st_mode & S_IWGRP))
			return 0;
		log_error("%s is not %s's: chown -R %s: %s, or start with --user root", path, name, name, path);
		return -EACCES;
	}
	ret = dirs_make(path, mode);
	if (ret == 0 && chown(path, user->uid, user->gid) < 0)
		ret = -errno;
	if (ret < 0)
		log_error("%s cannot be made: %s", path, strerror(-ret));
	return ret;
}

static int prepare(const struct config *config, const char *name, const struct privileges_user *user)
{
	const char *slash = config->control_socket ? strrchr(config->control_socket, '/') : NULL;
	char *dir = slash && slash > config->control_socket ?
			    strndup(config->control_socket, (size_t)(slash - config->control_socket)) :
			    NULL;
	int ret = dir ? prepare_directory(dir, 0750, name, user) : 0;

	free(dir);
	if (ret == 0 && config->state_dir)
		ret = prepare_directory(config->state_dir, 0700, name, user);
	return ret;
}

int user_become(const struct config *config, const char *wanted)
{
	const char *name = wanted ? wanted : USER_DEFAULT;
	struct privileges_user user;
	int ret;

	if (geteuid() != 0) {
		if (wanted)
			log_warn("--user %s: only root can become another user", wanted);
		return EXIT_YES;
	}
	ret = privileges_find(&user, name);
	if (ret == -ENOENT && !wanted) {
		log_warn("running as root: there is no user " USER_DEFAULT " (systemd-sysusers makes it)");
		return EXIT_YES;
	}
	if (ret < 0) {
		log_error("user %s: %s", name, ret == -ENOENT ? "there is no such user" : strerror(-ret));
		return ret == -ENOENT ? EXIT_BAD_USAGE : EXIT_NO;
	}
	if (user.uid == 0)
		return EXIT_YES;
	if (prepare(config, name, &user) < 0)
		return EXIT_NOT_PERMITTED;
	/* /dev/net/tun is for everybody where udev made it, and root's only where somebody else did. */
	ret = privileges_drop(name, &user, capabilities_for(config),
			      config->role == CONFIG_PEER ? (uint64_t)1 << CAP_DAC_OVERRIDE : 0);
	if (ret < 0) {
		log_error("cannot become user %s: %s", name, strerror(-ret));
		return EXIT_NOT_PERMITTED;
	}
	if (access(config->path, R_OK) < 0)
		log_warn("%s is not readable for user %s: a reload will fail (chgrp %s, chmod 640)", config->path, name,
			 name);
	return EXIT_YES;
}
