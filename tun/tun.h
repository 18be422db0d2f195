/* tun/tun.h - the TUN device: open, queues, offloads, reading and writing packets
 *
 * The device is not persistent: it goes, with its addresses and routes, when the last queue is closed, at a crash too.
 * Each queue is non-blocking and belongs to one worker. With a vnet header (TUN_VNET) every packet carries a
 * struct virtio_net_hdr of TUN_VNET_BYTES in front; without one, nothing is in front. tun_read/tun_write hide neither:
 * the caller hands buffers whose data starts at the packet and has TUN_VNET_BYTES of headroom.
 * Thread: open and close by the loop; a queue's read and write by its worker.  Errors: negative errno. */
#ifndef TUN_TUN_H
#define TUN_TUN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>
#include <sys/uio.h>

#define TUN_QUEUES_MAX 8
#define TUN_VNET_BYTES 10
#define TUN_PACKET_MAX_BYTES 65535
#define TUN_NAME_BYTES 16

enum tun_feature {
	TUN_MULTI_QUEUE = 1,
	TUN_VNET = 2,
	TUN_TSO = 4,
	TUN_USO = 8
};

struct tun {
	char name[TUN_NAME_BYTES];
	int ifindex;
	unsigned features; /* enum tun_feature bits, as opened; which trains are written now, tun_trains() says */
	unsigned n_queues;
	int fd[TUN_QUEUES_MAX];
	int tso_error, uso_error; /* private: the errno that such a train was refused with, 0: not */
};

#define TUN_VNET_NEEDS_CSUM 1 /* flags: the checksum at csum_start + csum_offset holds the pseudo-header's sum */
struct tun_vnet {             /* struct virtio_net_hdr in host order */
	uint8_t flags, gso_type;
	uint16_t hdr_len, gso_size, csum_start, csum_offset;
};

/* Opens `name` ("warren%d" lets the kernel number it) with up to n_queues queues and those of the `wanted` features the
 * kernel has. -ENOENT: no /dev/net/tun; -EPERM: no CAP_NET_ADMIN; -EBUSY: name in use; -ENODEV: no tun module. */
int tun_open(struct tun *tun, const char *name, unsigned n_queues, unsigned wanted);
void tun_close(struct tun *tun); /* a zeroed struct with n_queues 0 is fine */
/* Gives back all queues but the first n: the kernel puts packets into each that is open. */
void tun_keep_queues(struct tun *tun, unsigned n);
/* One sentence for what tun_open returned. Static. */
const char *tun_error(int err);

/* One packet into `packet` (room for capacity; with TUN_VNET also the TUN_VNET_BYTES before it are overwritten).
 * Returns its length, -EAGAIN when there is none, -EMSGSIZE for one that was longer than capacity and is lost.
 * `vnet` is zeroed without the feature. */
ssize_t tun_read(const struct tun *tun, unsigned queue, uint8_t *packet, size_t capacity, struct tun_vnet *vnet);
/* Writes one packet; `vnet` NULL: an ordinary one. The TUN_VNET_BYTES before `packet` are overwritten with TUN_VNET.
 * 0 or negative errno. */
int tun_write(const struct tun *tun, unsigned queue, uint8_t *packet, size_t len, const struct tun_vnet *vnet);

/* The same from several pieces, at most TUN_PIECES_MAX. */
#define TUN_PIECES_MAX 64
int tun_writev(const struct tun *tun, unsigned queue, const struct iovec *iov, unsigned n_iov,
	       const struct tun_vnet *vnet);

/* TUN_TSO and TUN_USO as far as trains of that kind may be written. Any thread. */
unsigned tun_trains(const struct tun *tun);
/* The kernel, which had offered this one of the two, took the packets of a train but not the train: no more of them, until the
 * device is opened anew. Any thread. */
void tun_refuse_trains(struct tun *tun, unsigned feature, int error);
int tun_trains_error(const struct tun *tun, unsigned feature); /* what they were refused with; 0: they were not */

#endif
