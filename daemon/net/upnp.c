#include "daemon/net/upnp.h"

#include <errno.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sodium.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool upnp_url_is_at(const char *url, const struct ip *ip)
{
	static const char scheme[] = "http://";
	char text[ADDR_TEXT_BYTES];
	size_t len;

	if (strncasecmp(url, scheme, sizeof(scheme) - 1) != 0)
		return false;
	url += sizeof(scheme) - 1;
	ip_to_text(ip, text);
	len = strlen(text);
	return strncmp(url, text, len) == 0 && (url[len] == ':' || url[len] == '/');
}

#ifdef HAVE_MINIUPNPC

#include <miniupnpc/miniupnpc.h>
#include <miniupnpc/upnpcommands.h>
#include <miniupnpc/upnperrors.h>

#define DISCOVERY_MS 1000 /* for each of the kinds that are asked for */
#define DISCOVERY_TTL 2   /* UPnP Device Architecture 1.1 section 1.3.2 */
#define URL_BYTES 256
#define PORT_TRIES 4
#define PORT_FIRST 20000
#define PORTS 12000
#define THREADS_MAX 2 /* one that works and one that was given up */

/* Error codes of WANIPConnection. */
#define CONFLICT_IN_MAPPING 718
#define ONLY_PERMANENT_LEASES 725

static const char description[] = "warren";

/* What the loop and the jobs' threads share; freed by the last of them. */
struct shared {
	pthread_mutex_t lock;
	unsigned n_references;
	unsigned n_threads;
	struct upnp *owner;  /* NULL: gone */
	uint64_t current;    /* the job whose answer is wanted; others were given up */
	char url[URL_BYTES]; /* of the gateway's description; "": to be looked for */
	struct ip url_of;
	struct portmap_upnp_job answer;
	bool has_answer;
	bool is_looking; /* for a gateway that was not known when the current job began */
};

struct upnp {
	uv_loop_t *loop;
	upnp_done_fn *fn;
	void *arg;
	struct shared *shared;
	uv_async_t async;
	uv_timer_t timer;
	unsigned n_open_handles;
	struct portmap_upnp_job job; /* under way */
	bool is_busy;
};

struct task { /* a thread's */
	struct shared *shared;
	uint64_t number;
	struct portmap_upnp_job job;
	char url[URL_BYTES];
};

static void unref(struct shared *s)
{
	bool is_last;

	pthread_mutex_lock(&s->lock);
	is_last = --s->n_references == 0;
	pthread_mutex_unlock(&s->lock);
	if (!is_last)
		return;
	pthread_mutex_destroy(&s->lock);
	free(s);
}

/* ---------------------------------------------------------------- in the job's thread */

static bool is_wanted(const struct task *t)
{
	bool is_current;

	pthread_mutex_lock(&t->shared->lock);
	is_current = t->shared->owner && t->shared->current == t->number;
	pthread_mutex_unlock(&t->shared->lock);
	return is_current;
}

/* There is a gateway; false: the job was given up while it was looked for. */
static bool has_found(const struct task *t)
{
	bool is_current;

	pthread_mutex_lock(&t->shared->lock);
	is_current = t->shared->current == t->number;
	if (is_current)
		t->shared->is_looking = false;
	pthread_mutex_unlock(&t->shared->lock);
	return is_current;
}

/* Finds the gateway's description; false if nobody at its address answers. */
static bool discover(struct task *t)
{
	static const char *const kinds[] = { "urn:schemas-upnp-org:device:InternetGatewayDevice:1",
					     "urn:schemas-upnp-org:device:InternetGatewayDevice:2", NULL };
	char local[ADDR_TEXT_BYTES];
	struct UPNPDev *list, *d;
	int error;

	list = upnpDiscoverDevices(kinds, DISCOVERY_MS, ip_to_text(&t->job.local, local), NULL, UPNP_LOCAL_PORT_ANY, 0,
				   DISCOVERY_TTL, &error, 0);
	t->url[0] = '\0';
	for (d = list; d && !t->url[0]; d = d->pNext)
		if (d->descURL && upnp_url_is_at(d->descURL, &t->job.gateway) && strlen(d->descURL) < URL_BYTES)
			snprintf(t->url, sizeof(t->url), "%s", d->descURL);
	freeUPNPDevlist(list);
	return t->url[0] != '\0';
}

struct igd {
	struct UPNPUrls urls;
	struct IGDdatas data;
};

static const char *igd_open(struct task *t, struct igd *igd)
{
	char local[ADDR_TEXT_BYTES] = "";

	if (!t->url[0])
		return "no answer";
	memset(igd, 0, sizeof(*igd));
	if (!UPNP_GetIGDFromUrl(t->url, &igd->urls, &igd->data, local, sizeof(local)))
		return "its description cannot be read";
	if (igd->urls.controlURL && igd->data.first.servicetype[0] &&
	    upnp_url_is_at(igd->urls.controlURL, &t->job.gateway))
		return NULL;
	FreeUPNPUrls(&igd->urls);
	return "it describes no connection of its own";
}

static const char *error_text(int code)
{
	const char *text = strupnperror(code);

	return text ? text : "UPnP error";
}

static const char *protocol_text(const struct portmap_upnp_item *item)
{
	return item->protocol == IPPROTO_TCP ? "TCP" : "UDP";
}

enum holder {
	HOLDER_NOBODY,
	HOLDER_US,
	HOLDER_OTHER
};

/* Who has the external port. Some gateways would let us take another host's. */
static enum holder holder_of(const struct task *t, const struct igd *igd, const struct portmap_upnp_item *item,
			     uint16_t external_port)
{
	char external[8], client[40] = "", internal[8] = "", name[80] = "", enabled[8] = "", lease[16] = "",
			  local[ADDR_TEXT_BYTES], wanted[8];

	snprintf(external, sizeof(external), "%u", external_port);
	snprintf(wanted, sizeof(wanted), "%u", item->internal_port);
	if (UPNP_GetSpecificPortMappingEntry(igd->urls.controlURL, igd->data.first.servicetype, external,
					     protocol_text(item), NULL, client, internal, name, enabled,
					     lease) != UPNPCOMMAND_SUCCESS)
		return HOLDER_NOBODY;
	return strcmp(client, ip_to_text(&t->job.local, local)) == 0 && strcmp(internal, wanted) == 0 ? HOLDER_US :
													HOLDER_OTHER;
}

static int add_once(const struct task *t, const struct igd *igd, struct portmap_upnp_item *item, uint16_t external_port)
{
	char external[8], internal[8], lease[16], local[ADDR_TEXT_BYTES];
	int code;

	snprintf(external, sizeof(external), "%u", external_port);
	snprintf(internal, sizeof(internal), "%u", item->internal_port);
	snprintf(lease, sizeof(lease), "%u", item->lifetime_s);
	ip_to_text(&t->job.local, local);
	code = UPNP_AddPortMapping(igd->urls.controlURL, igd->data.first.servicetype, external, internal, local,
				   description, protocol_text(item), NULL, lease);
	if (code != ONLY_PERMANENT_LEASES)
		return code;
	code = UPNP_AddPortMapping(igd->urls.controlURL, igd->data.first.servicetype, external, internal, local,
				   description, protocol_text(item), NULL, "0");
	if (code == UPNPCOMMAND_SUCCESS)
		item->lifetime_s = UINT32_MAX;
	return code;
}

static void add(const struct task *t, const struct igd *igd, struct portmap_upnp_item *item)
{
	uint16_t port = item->external_port;
	int code = CONFLICT_IN_MAPPING;

	for (int i = 0; i < PORT_TRIES && code == CONFLICT_IN_MAPPING && is_wanted(t); i++) {
		if (i > 0)
			port = (uint16_t)(PORT_FIRST + randombytes_uniform(PORTS));
		if (holder_of(t, igd, item, port) != HOLDER_OTHER)
			code = add_once(t, igd, item, port);
	}
	item->external_port = port;
	item->error = code == UPNPCOMMAND_SUCCESS ? NULL : error_text(code);
}

static void take_away(const struct task *t, const struct igd *igd, struct portmap_upnp_item *item)
{
	char external[8];
	int code = UPNPCOMMAND_SUCCESS;

	snprintf(external, sizeof(external), "%u", item->external_port);
	if (holder_of(t, igd, item, item->external_port) == HOLDER_US)
		code = UPNP_DeletePortMapping(igd->urls.controlURL, igd->data.first.servicetype, external,
					      protocol_text(item), NULL);
	item->error = code == UPNPCOMMAND_SUCCESS ? NULL : error_text(code);
}

static void do_job(struct task *t)
{
	bool is_known = t->url[0] != '\0';
	char external[40] = "";
	struct igd igd;

	if (!is_known)
		discover(t);
	t->job.error = igd_open(t, &igd);
	if (t->job.error && is_known) { /* it restarted on another port, perhaps */
		discover(t);
		t->job.error = igd_open(t, &igd);
	}
	if (t->job.error) {
		t->url[0] = '\0';
		return;
	}
	if (!has_found(t)) {
		FreeUPNPUrls(&igd.urls);
		return;
	}
	if (UPNP_GetExternalIPAddress(igd.urls.controlURL, igd.data.first.servicetype, external) ==
		    UPNPCOMMAND_SUCCESS &&
	    (ip_from_text(&t->job.external, external) < 0 || !ip_is_sendable(&t->job.external)))
		t->job.external = (struct ip){ 0 };
	for (unsigned i = 0; i < t->job.n; i++) {
		t->job.items[i].error = "given up";
		if (t->job.items[i].lifetime_s == 0)
			take_away(t, &igd, &t->job.items[i]);
		else if (is_wanted(t))
			add(t, &igd, &t->job.items[i]);
	}
	FreeUPNPUrls(&igd.urls);
}

static void *run(void *arg)
{
	struct task *t = arg;
	struct shared *s = t->shared;

	do_job(t);
	pthread_mutex_lock(&s->lock);
	s->n_threads--;
	if (s->current == t->number) {
		memcpy(s->url, t->url, sizeof(s->url));
		s->url_of = t->job.gateway;
		s->answer = t->job;
		s->has_answer = true;
		if (s->owner)
			uv_async_send(&s->owner->async);
	}
	pthread_mutex_unlock(&s->lock);
	unref(s);
	free(t);
	return NULL;
}

/* ---------------------------------------------------------------- on the loop */

bool upnp_is_built_in(void)
{
	return true;
}

static void answer(struct upnp *u, const struct portmap_upnp_job *job)
{
	struct portmap_upnp_job copy = *job;

	u->is_busy = false;
	uv_timer_stop(&u->timer);
	u->fn(u->arg, &copy); /* may start the next */
}

static void on_async(uv_async_t *async)
{
	struct upnp *u = async->data;
	struct shared *s = u->shared;
	struct portmap_upnp_job job;
	bool has_answer;

	pthread_mutex_lock(&s->lock);
	has_answer = s->has_answer;
	job = s->answer;
	s->has_answer = false;
	pthread_mutex_unlock(&s->lock);
	if (has_answer && u->is_busy)
		answer(u, &job);
}

static void on_timeout(uv_timer_t *timer)
{
	struct upnp *u = timer->data;

	pthread_mutex_lock(&u->shared->lock);
	u->shared->current++;
	u->shared->has_answer = false;
	u->shared->url[0] = '\0';
	pthread_mutex_unlock(&u->shared->lock);
	u->job.error = "it answers too slowly";
	answer(u, &u->job);
}

int upnp_open(struct upnp **out, uv_loop_t *loop, upnp_done_fn *fn, void *arg)
{
	struct upnp *u = calloc(1, sizeof(*u));
	struct shared *s = calloc(1, sizeof(*s));
	int ret = u && s ? uv_async_init(loop, &u->async, on_async) : -ENOMEM;

	*out = NULL;
	if (ret < 0) {
		free(u);
		free(s);
		return ret;
	}
	pthread_mutex_init(&s->lock, NULL);
	s->n_references = 1;
	s->owner = u;
	u->loop = loop;
	u->fn = fn;
	u->arg = arg;
	u->shared = s;
	uv_timer_init(loop, &u->timer);
	u->n_open_handles = 2;
	u->async.data = u->timer.data = u;
	*out = u;
	return 0;
}

/* False: it cannot be started. */
static bool start_thread(struct upnp *u, struct task *t)
{
	struct shared *s = u->shared;
	pthread_attr_t attr;
	bool is_started;
	pthread_t thread;

	pthread_mutex_lock(&s->lock);
	t->number = ++s->current;
	s->has_answer = false;
	if (ip_equal(&s->url_of, &t->job.gateway))
		memcpy(t->url, s->url, sizeof(t->url));
	s->is_looking = t->url[0] == '\0';
	if (s->n_threads == THREADS_MAX) {
		pthread_mutex_unlock(&s->lock);
		return false;
	}
	s->n_threads++;
	s->n_references++;
	pthread_mutex_unlock(&s->lock);
	pthread_attr_init(&attr);
	pthread_attr_setdetachstate(&attr, PTHREAD_CREATE_DETACHED);
	is_started = pthread_create(&thread, &attr, run, t) == 0;
	pthread_attr_destroy(&attr);
	if (is_started)
		return true;
	pthread_mutex_lock(&s->lock);
	s->n_threads--;
	pthread_mutex_unlock(&s->lock);
	unref(s);
	return false;
}

void upnp_start(struct upnp *u, const struct portmap_upnp_job *job)
{
	struct task *t = calloc(1, sizeof(*t));

	u->job = *job;
	u->is_busy = true;
	if (t) {
		t->shared = u->shared;
		t->job = *job;
		if (start_thread(u, t)) {
			uv_timer_start(&u->timer, on_timeout, UPNP_TIMEOUT_MS, 0);
			return;
		}
		free(t);
	}
	uv_timer_start(&u->timer, on_timeout, 0, 0); /* the ones before are still waiting for it */
}

bool upnp_give_up(struct upnp *u)
{
	bool is_early;

	if (!u || !u->is_busy)
		return false;
	pthread_mutex_lock(&u->shared->lock);
	is_early = u->shared->is_looking;
	if (is_early)
		u->shared->current++;
	pthread_mutex_unlock(&u->shared->lock);
	if (is_early) {
		u->is_busy = false;
		uv_timer_stop(&u->timer);
	}
	return is_early;
}

static void on_closed(uv_handle_t *handle)
{
	struct upnp *u = handle->data;

	if (--u->n_open_handles == 0)
		free(u);
}

void upnp_close(struct upnp *u)
{
	if (!u)
		return;
	pthread_mutex_lock(&u->shared->lock);
	u->shared->owner = NULL;
	pthread_mutex_unlock(&u->shared->lock);
	unref(u->shared);
	u->is_busy = false;
	uv_close((uv_handle_t *)&u->async, on_closed);
	uv_close((uv_handle_t *)&u->timer, on_closed);
}

#else /* without libminiupnpc */

bool upnp_is_built_in(void)
{
	return false;
}

int upnp_open(struct upnp **out, uv_loop_t *loop, upnp_done_fn *fn, void *arg)
{
	(void)loop;
	(void)fn;
	(void)arg;
	*out = NULL;
	return -ENOSYS;
}

void upnp_start(struct upnp *u, const struct portmap_upnp_job *job)
{
	(void)u;
	(void)job;
}

bool upnp_give_up(struct upnp *u)
{
	(void)u;
	return false;
}

void upnp_close(struct upnp *u)
{
	(void)u;
}

#endif
