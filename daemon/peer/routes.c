#include "daemon/peer/routes.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

const char *route_state_words(enum route_state s)
{
	switch (s) {
	case ROUTE_NO_MEMBER:
		return "not used: no member of that name is known";
	case ROUTE_IN_USE:
		return "in use";
	case ROUTE_PEER_DOWN:
		return "in use, but the peer does not answer";
	case ROUTE_STANDBY:
		return "standing by: another peer has the same";
	case ROUTE_IN_MESH:
		return "not used: it overlaps the addresses of the mesh";
	case ROUTE_AROUND_COORDINATOR:
		return "not used: a coordinator's address is in it";
	case ROUTE_NOT_CERTIFIED:
		return "not used: no good certificate of the peer has it";
	}
	return "unknown";
}

/* ---------------------------------------------------------------- the file's */

static const struct route *find_same(const struct routes *r, const char *name, const struct prefix *net)
{
	for (unsigned i = 0; i < r->n; i++)
		if (prefix_equal(&r->v[i].net, net) && strcmp(r->v[i].name, name) == 0)
			return &r->v[i];
	return NULL;
}

static unsigned count(const struct config *c)
{
	unsigned n = 0;

	for (unsigned i = 0; i < c->n_peers; i++)
		n += c->peers[i].routes.n;
	return n;
}

int routes_new(struct routes *out, const struct config *c, const struct routes *old, uint64_t now_ms)
{
	struct routes r = { 0 };

	r.v = count(c) ? calloc(count(c), sizeof(*r.v)) : NULL;
	if (count(c) && !r.v)
		return -ENOMEM;
	for (unsigned i = 0; i < c->n_peers; i++) {
		const struct config_peer *p = &c->peers[i];

		for (unsigned j = 0; j < p->routes.n; j++) {
			const struct route *was = find_same(old, p->name, &p->routes.v[j]);
			struct route *route = &r.v[r.n++];

			if (was) {
				*route = *was;
				route->before = NULL; /* until they are judged */
				continue;
			}
			route->net = p->routes.v[j];
			memcpy(route->name, p->name, sizeof(route->name));
			route->since_ms = now_ms;
		}
	}
	*out = r;
	return 0;
}

void routes_free(struct routes *r)
{
	free(r->v);
	*r = (struct routes){ 0 };
}

/* ---------------------------------------------------------------- judging */

bool routes_is_in_mesh(const struct routes_around *around, const struct prefix *net)
{
	for (unsigned i = 0; i < around->n_mesh; i++)
		if (prefix_overlaps(&around->mesh[i], net))
			return true;
	return false;
}

static bool is_around_coordinator(const struct routes_around *around, const struct prefix *net)
{
	for (unsigned i = 0; i < around->n_coordinators; i++)
		if (prefix_contains(net, &around->coordinators[i]))
			return true;
	return false;
}

/* For itself, whatever others there are. */
static enum route_state judge_alone(const struct route *r, const struct routes_around *around)
{
	if (routes_is_in_mesh(around, &r->net))
		return ROUTE_IN_MESH;
	if (is_around_coordinator(around, &r->net))
		return ROUTE_AROUND_COORDINATOR;
	if (!r->peer)
		return ROUTE_NO_MEMBER;
	if (!r->is_certified)
		return ROUTE_NOT_CERTIFIED;
	return r->reach == ROUTE_REACH_DOWN ? ROUTE_PEER_DOWN : ROUTE_IN_USE;
}

static bool goes_before(const struct route *a, const struct route *b)
{
	if (a->reach != b->reach)
		return a->reach > b->reach;
	return memcmp(a->key.b, b->key.b, sizeof(a->key.b)) < 0;
}

static const struct route *find_first(const struct routes *r, const struct route *route,
				      const struct routes_around *around)
{
	const struct route *first = route;

	for (unsigned i = 0; i < r->n; i++) {
		const struct route *other = &r->v[i];
		enum route_state alone;

		if (!prefix_equal(&other->net, &route->net) || !goes_before(other, first))
			continue;
		alone = judge_alone(other, around);
		if (alone == ROUTE_IN_USE || alone == ROUTE_PEER_DOWN)
			first = other;
	}
	return first;
}

bool routes_judge(struct routes *r, const struct routes_around *around, uint64_t now_ms)
{
	bool is_changed = false;

	for (unsigned i = 0; i < r->n; i++) {
		struct route *route = &r->v[i];
		enum route_state state = judge_alone(route, around);

		route->before = NULL;
		if (state == ROUTE_IN_USE || state == ROUTE_PEER_DOWN) {
			const struct route *first = find_first(r, route, around);

			if (first != route) {
				state = ROUTE_STANDBY;
				route->before = first;
			}
		}
		if (state == route->state)
			continue;
		route->state = state;
		route->since_ms = now_ms;
		is_changed = true;
	}
	return is_changed;
}

/* ---------------------------------------------------------------- finding */

bool route_is_active(const struct route *r)
{
	return r->state == ROUTE_IN_USE || r->state == ROUTE_PEER_DOWN;
}

const struct route *routes_active(const struct routes *r, const struct prefix *net)
{
	for (unsigned i = 0; i < r->n; i++)
		if (route_is_active(&r->v[i]) && prefix_equal(&r->v[i].net, net))
			return &r->v[i];
	return NULL;
}

const struct route *routes_find(const struct routes *r, const struct ip *dst)
{
	const struct route *best = NULL;

	for (unsigned i = 0; i < r->n; i++)
		if (route_is_active(&r->v[i]) && prefix_contains(&r->v[i].net, dst) &&
		    (!best || r->v[i].net.bits > best->net.bits))
			best = &r->v[i];
	return best;
}
