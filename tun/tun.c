#include "tun/tun.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#define TUN_DEVICE "/dev/net/tun"

/* Since Linux 6.2; Debian 12's headers are older than the kernels this runs on. */
#ifndef TUN_F_USO4
#define TUN_F_USO4 0x20
#define TUN_F_USO6 0x40
#endif

_Static_assert(sizeof(struct virtio_net_hdr) == TUN_VNET_BYTES, "the header in front of every packet");
_Static_assert(TUN_NAME_BYTES == IFNAMSIZ, "names are the kernel's");

static int queue_open(void)
{
	int fd = open(TUN_DEVICE, O_RDWR | O_NONBLOCK | O_CLOEXEC);

	return fd < 0 ? -errno : fd;
}

static int queue_attach(int fd, char name[static TUN_NAME_BYTES], unsigned flags)
{
	struct ifreq ifr = { 0 };

	memcpy(ifr.ifr_name, name, TUN_NAME_BYTES);
	ifr.ifr_flags = (short)flags;
	if (ioctl(fd, TUNSETIFF, &ifr) < 0)
		return -errno;
	memcpy(name, ifr.ifr_name, TUN_NAME_BYTES); /* "warren%d" has its number now */
	name[TUN_NAME_BYTES - 1] = '\0';
	return 0;
}

/* What the kernel's driver can do of what is wanted; offloads show only when they are set. */
static unsigned features_available(int fd, unsigned n_queues, unsigned wanted)
{
	unsigned known = 0, features = 0;

	if (ioctl(fd, TUNGETFEATURES, &known) < 0)
		return 0;
	if ((wanted & TUN_MULTI_QUEUE) && (known & IFF_MULTI_QUEUE) && n_queues > 1)
		features |= TUN_MULTI_QUEUE;
	if ((wanted & TUN_VNET) && (known & IFF_VNET_HDR))
		features |= TUN_VNET;
	return features;
}

/* Trains come with the checksum left to us, so TSO and USO each bring TUN_F_CSUM; without either the kernel computes
 * every checksum itself and the vnet header stays empty. */
static unsigned offloads_set(int fd, unsigned wanted)
{
	static const struct {
		unsigned features;
		unsigned long flags;
	} choices[] = {
		{ TUN_TSO | TUN_USO, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 | TUN_F_USO4 | TUN_F_USO6 },
		{ TUN_TSO, TUN_F_CSUM | TUN_F_TSO4 | TUN_F_TSO6 },
		{ TUN_USO, TUN_F_CSUM | TUN_F_USO4 | TUN_F_USO6 },
	};

	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		if ((choices[i].features & ~wanted) == 0 && ioctl(fd, TUNSETOFFLOAD, choices[i].flags) == 0)
			return choices[i].features;
	ioctl(fd, TUNSETOFFLOAD, 0ul); /* the state of a new device */
	return 0;
}

static int first_queue_open(struct tun *tun, const char *name, unsigned n_queues, unsigned wanted)
{
	int header_bytes = TUN_VNET_BYTES;
	unsigned flags = IFF_TUN | IFF_NO_PI;
	int ret, fd = queue_open();

	if (fd < 0)
		return fd;
	tun->fd[0] = fd;
	tun->n_queues = 1;
	tun->features = features_available(fd, n_queues, wanted);
	if (tun->features & TUN_MULTI_QUEUE)
		flags |= IFF_MULTI_QUEUE;
	if (tun->features & TUN_VNET)
		flags |= IFF_VNET_HDR;
	memcpy(tun->name, name, strlen(name) + 1);
	/* Exclusive: else a second daemon with the same name would join this one's queues and take its packets. */
	ret = queue_attach(fd, tun->name, flags | IFF_TUN_EXCL);
	if (ret < 0)
		return ret;
	tun->ifindex = (int)if_nametoindex(tun->name);
	if (tun->ifindex == 0)
		return -errno;
	if (tun->features & TUN_VNET) {
		if (ioctl(fd, TUNSETVNETHDRSZ, &header_bytes) < 0)
			return -errno;
		tun->features |= offloads_set(fd, wanted);
	}
	return 0;
}

/* Fewer queues than asked for still make a device; header size and offloads are the device's, not the queue's. */
static void more_queues_open(struct tun *tun, unsigned n_queues)
{
	unsigned flags = IFF_TUN | IFF_NO_PI | IFF_MULTI_QUEUE;

	if (tun->features & TUN_VNET)
		flags |= IFF_VNET_HDR;
	while (tun->n_queues < n_queues) {
		int fd = queue_open();

		if (fd < 0)
			return;
		if (queue_attach(fd, tun->name, flags) < 0) {
			close(fd);
			return;
		}
		tun->fd[tun->n_queues++] = fd;
	}
}

int tun_open(struct tun *tun, const char *name, unsigned n_queues, unsigned wanted)
{
	int ret;

	*tun = (struct tun){ 0 };
	if (name[0] == '\0' || strlen(name) >= TUN_NAME_BYTES || n_queues == 0)
		return -EINVAL;
	if (n_queues > TUN_QUEUES_MAX)
		n_queues = TUN_QUEUES_MAX;
	ret = first_queue_open(tun, name, n_queues, wanted);
	if (ret < 0) {
		tun_close(tun);
		return ret;
	}
	if (tun->features & TUN_MULTI_QUEUE)
		more_queues_open(tun, n_queues);
	return 0;
}

void tun_keep_queues(struct tun *tun, unsigned n)
{
	while (tun->n_queues > n)
		close(tun->fd[--tun->n_queues]);
}

void tun_close(struct tun *tun)
{
	tun_keep_queues(tun, 0);
	*tun = (struct tun){ 0 };
}

const char *tun_error(int err)
{
	switch (err < 0 ? -err : err) {
	case 0:
		return "no error";
	case ENOENT:
		return "there is no " TUN_DEVICE " (a container needs the device passed in)";
	case EPERM:
	case EACCES:
		return "opening a TUN device needs the capability CAP_NET_ADMIN and access to " TUN_DEVICE;
	case EBUSY:
		return "an interface of that name exists already (is another daemon running?)";
	case ENODEV:
	case ENXIO:
		return "the kernel has no TUN driver (module tun)";
	case EINVAL:
		return "the interface name is not valid (1 to 15 characters, no slash, no space)";
	case EMFILE:
	case ENFILE:
		return "too many open files";
	default:
		return "the kernel refused to make the TUN device";
	}
}

ssize_t tun_read(const struct tun *tun, unsigned queue, uint8_t *packet, size_t capacity, struct tun_vnet *vnet)
{
	size_t front = tun->features & TUN_VNET ? TUN_VNET_BYTES : 0;
	uint8_t beyond;
	/* The driver cuts a packet to the buffer without a word: one byte more tells. */
	struct iovec iov[] = {
		{ .iov_base = packet - front, .iov_len = capacity + front },
		{ .iov_base = &beyond, .iov_len = 1 },
	};
	ssize_t n = readv(tun->fd[queue], iov, 2);

	if (n < 0)
		return -errno;
	if ((size_t)n > capacity + front)
		return -EMSGSIZE;
	if ((size_t)n < front)
		return -EIO;
	*vnet = (struct tun_vnet){ 0 };
	if (front) {
		struct virtio_net_hdr hdr;

		memcpy(&hdr, packet - front, sizeof(hdr));
		vnet->flags = hdr.flags;
		vnet->gso_type = hdr.gso_type;
		vnet->hdr_len = hdr.hdr_len;
		vnet->gso_size = hdr.gso_size;
		vnet->csum_start = hdr.csum_start;
		vnet->csum_offset = hdr.csum_offset;
	}
	return n - (ssize_t)front;
}

static struct virtio_net_hdr header_of(const struct tun_vnet *vnet)
{
	struct virtio_net_hdr hdr = { 0 };

	if (vnet) {
		hdr.flags = vnet->flags;
		hdr.gso_type = vnet->gso_type;
		hdr.hdr_len = vnet->hdr_len;
		hdr.gso_size = vnet->gso_size;
		hdr.csum_start = vnet->csum_start;
		hdr.csum_offset = vnet->csum_offset;
	}
	return hdr;
}

int tun_write(const struct tun *tun, unsigned queue, uint8_t *packet, size_t len, const struct tun_vnet *vnet)
{
	size_t front = tun->features & TUN_VNET ? TUN_VNET_BYTES : 0;
	ssize_t n;

	if (front) {
		struct virtio_net_hdr hdr = header_of(vnet);

		memcpy(packet - front, &hdr, sizeof(hdr));
	}
	n = write(tun->fd[queue], packet - front, len + front);
	if (n < 0)
		return -errno;
	return (size_t)n == len + front ? 0 : -EIO;
}

int tun_writev(const struct tun *tun, unsigned queue, const struct iovec *iov, unsigned n_iov,
	       const struct tun_vnet *vnet)
{
	struct virtio_net_hdr hdr = header_of(vnet);
	struct iovec all[1 + TUN_PIECES_MAX];

	if (n_iov > TUN_PIECES_MAX)
		return -EINVAL;
	if (!(tun->features & TUN_VNET))
		return writev(tun->fd[queue], iov, (int)n_iov) < 0 ? -errno : 0;
	all[0] = (struct iovec){ .iov_base = &hdr, .iov_len = sizeof(hdr) };
	memcpy(all + 1, iov, n_iov * sizeof(*iov));
	return writev(tun->fd[queue], all, (int)n_iov + 1) < 0 ? -errno : 0;
}

int tun_trains_error(const struct tun *tun, unsigned feature)
{
	return __atomic_load_n(feature == TUN_TSO ? &tun->tso_error : &tun->uso_error, __ATOMIC_RELAXED);
}

void tun_refuse_trains(struct tun *tun, unsigned feature, int error)
{
	__atomic_store_n(feature == TUN_TSO ? &tun->tso_error : &tun->uso_error, error, __ATOMIC_RELAXED);
}

unsigned tun_trains(const struct tun *tun)
{
	unsigned trains = tun->features & (TUN_TSO | TUN_USO);

	if (tun_trains_error(tun, TUN_TSO))
		trains &= ~(unsigned)TUN_TSO;
	if (tun_trains_error(tun, TUN_USO))
		trains &= ~(unsigned)TUN_USO;
	return trains;
}
