/* Real devices, in a namespace of its own. What the test writes into the device, the kernel delivers to a socket, and
 * what it sends to the device's net, the test reads. */
#include <stdarg.h>
#include <setjmp.h>
#include <stddef.h>
#include <stdint.h>

#include <arpa/inet.h>
#include <cmocka.h>
#include <errno.h>
#include <linux/virtio_net.h>
#include <net/if.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "tests/unit/netns.h"
#include "tun/netlink.h"
#include "tun/tun.h"

#define OWN "10.77.0.1"
#define FAR "10.77.0.2"
#define IP_UDP_BYTES 28

static uint8_t buffer[TUN_VNET_BYTES + TUN_PACKET_MAX_BYTES + 1];
static uint8_t *const packet = buffer + TUN_VNET_BYTES;

static void device(struct tun *tun, unsigned n_queues, unsigned wanted)
{
	static const uint8_t own[4] = { 10, 77, 0, 1 };

	assert_int_equal(tun_open(tun, "test%d", n_queues, wanted), 0);
	assert_int_equal(netlink_addr_add(tun->ifindex, own, 4, 24), 0);
	assert_int_equal(netlink_link_up(tun->ifindex, 1400), 0);
}

static int udp_socket(const char *address, uint16_t port)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(port) };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	assert_true(fd >= 0);
	inet_pton(AF_INET, address, &sa.sin_addr);
	assert_int_equal(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), 0);
	return fd;
}

static void send_far(int fd, const void *data, size_t len)
{
	struct sockaddr_in sa = { .sin_family = AF_INET, .sin_port = htons(7000) };

	inet_pton(AF_INET, FAR, &sa.sin_addr);
	assert_int_equal(sendto(fd, data, len, 0, (struct sockaddr *)&sa, sizeof(sa)), (ssize_t)len);
}

/* A packet sent just now may still be on its way if another processor holds the device's queue. */
static ssize_t read_soon(const struct tun *tun, size_t capacity, struct tun_vnet *vnet)
{
	struct pollfd p = { .fd = tun->fd[0], .events = POLLIN };

	poll(&p, 1, 1000);
	return tun_read(tun, 0, packet, capacity, vnet);
}

static uint16_t ones_sum(const uint8_t *p, size_t len)
{
	uint32_t sum = 0;

	for (size_t i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)p[i] << 8 | p[i + 1];
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* An IPv4 UDP packet from FAR to OWN, without a UDP checksum. */
static size_t make_packet(uint16_t port, const char *text)
{
	size_t len = IP_UDP_BYTES + strlen(text);
	uint16_t sum;

	memset(packet, 0, IP_UDP_BYTES);
	packet[0] = 0x45;
	packet[2] = (uint8_t)(len >> 8);
	packet[3] = (uint8_t)len;
	packet[8] = 64;
	packet[9] = IPPROTO_UDP;
	inet_pton(AF_INET, FAR, packet + 12);
	inet_pton(AF_INET, OWN, packet + 16);
	sum = (uint16_t)~ones_sum(packet, 20);
	packet[10] = (uint8_t)(sum >> 8);
	packet[11] = (uint8_t)sum;
	packet[20] = 7000 >> 8;
	packet[21] = 7000 & 0xff;
	packet[22] = (uint8_t)(port >> 8);
	packet[23] = (uint8_t)port;
	packet[24] = (uint8_t)((len - 20) >> 8);
	packet[25] = (uint8_t)(len - 20);
	memcpy(packet + IP_UDP_BYTES, text, strlen(text));
	return len;
}

static void name_is_numbered_by_the_kernel_and_goes_at_close(void **state)
{
	struct tun tun, second;

	(void)state;
	assert_int_equal(tun_open(&tun, "test%d", 1, 0), 0);
	assert_int_equal(tun_open(&second, "test%d", 1, 0), 0);
	assert_string_equal(tun.name, "test0");
	assert_string_equal(second.name, "test1");
	assert_int_equal(tun.ifindex, if_nametoindex("test0"));
	assert_int_equal(tun.n_queues, 1);
	assert_int_equal(tun.features, 0);
	tun_close(&tun);
	tun_close(&second);
	assert_int_equal(if_nametoindex("test0"), 0);
	assert_int_equal(tun.n_queues, 0);
	tun_close(&tun);
}

static void name_in_use_is_refused_not_joined(void **state)
{
	struct tun tun, second;

	(void)state;
	assert_int_equal(tun_open(&tun, "test0", 2, TUN_MULTI_QUEUE), 0);
	assert_int_equal(tun_open(&second, "test0", 2, TUN_MULTI_QUEUE), -EBUSY);
	assert_int_equal(second.n_queues, 0);
	assert_int_equal(tun_open(&second, "lo", 1, 0), -EBUSY);
	tun_close(&tun);
}

static void bad_names_are_refused(void **state)
{
	static const char *const names[] = { "", "sixteen-letters-", "a/b", "a b", "..", "%d%d" };
	struct tun tun;

	(void)state;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		assert_int_equal(tun_open(&tun, names[i], 1, 0), -EINVAL);
	assert_int_equal(tun_open(&tun, "test0", 0, 0), -EINVAL);
}

static void every_error_has_a_sentence(void **state)
{
	static const int errors[] = { ENOENT, EPERM, EBUSY, ENODEV, EINVAL, EMFILE, EIO };

	(void)state;
	for (size_t i = 0; i < sizeof(errors) / sizeof(errors[0]); i++) {
		assert_true(strlen(tun_error(-errors[i])) > 10);
		assert_ptr_equal(tun_error(-errors[i]), tun_error(errors[i]));
		for (size_t j = 0; j < i; j++)
			assert_string_not_equal(tun_error(errors[i]), tun_error(errors[j]));
	}
}

static void queues_are_opened_up_to_the_limit(void **state)
{
	struct tun tun;

	(void)state;
	device(&tun, 100, TUN_MULTI_QUEUE);
	assert_int_equal(tun.n_queues, TUN_QUEUES_MAX);
	assert_int_equal(tun.features, TUN_MULTI_QUEUE);
	tun_close(&tun);
	device(&tun, 4, 0); /* not wanted: one */
	assert_int_equal(tun.n_queues, 1);
	tun_close(&tun);
	device(&tun, 1, TUN_MULTI_QUEUE);
	assert_int_equal(tun.features, 0);
	tun_close(&tun);
}

static void packets_pass_both_ways(const unsigned wanted)
{
	struct tun tun;
	struct tun_vnet vnet;
	char text[32] = "";
	int fd;

	device(&tun, 1, wanted);
	fd = udp_socket(OWN, 7001);
	assert_int_equal(tun_read(&tun, 0, packet, TUN_PACKET_MAX_BYTES, &vnet), -EAGAIN);
	send_far(fd, "hello", 5);
	memset(&vnet, 0xff, sizeof(vnet));
	assert_int_equal(read_soon(&tun, TUN_PACKET_MAX_BYTES, &vnet), IP_UDP_BYTES + 5);
	assert_memory_equal(packet + IP_UDP_BYTES, "hello", 5);
	assert_int_equal(vnet.gso_type, VIRTIO_NET_HDR_GSO_NONE);
	if (!(tun.features & (TUN_TSO | TUN_USO)))
		assert_int_equal(vnet.flags & VIRTIO_NET_HDR_F_NEEDS_CSUM, 0);
	assert_int_equal(tun_read(&tun, 0, packet, TUN_PACKET_MAX_BYTES, &vnet), -EAGAIN);

	assert_int_equal(tun_write(&tun, 0, packet, make_packet(7001, "answer"), NULL), 0);
	assert_int_equal(recv(fd, text, sizeof(text), MSG_DONTWAIT), 6);
	assert_string_equal(text, "answer");
	close(fd);
	tun_close(&tun);
}

static void packets_pass_without_a_header(void **state)
{
	(void)state;
	packets_pass_both_ways(0);
}

static void packets_pass_with_a_header(void **state)
{
	(void)state;
	packets_pass_both_ways(TUN_VNET);
}

static void packets_pass_with_offloads(void **state)
{
	(void)state;
	packets_pass_both_ways(TUN_VNET | TUN_TSO | TUN_USO);
}

static void offloads_need_the_header(void **state)
{
	struct tun tun;

	(void)state;
	device(&tun, 1, TUN_TSO | TUN_USO);
	assert_int_equal(tun.features, 0);
	tun_close(&tun);
	device(&tun, 1, TUN_VNET);
	assert_int_equal(tun.features, TUN_VNET);
	tun_close(&tun);
}

static void checksum_is_the_kernels_without_offloads(void **state)
{
	struct tun tun;
	struct tun_vnet vnet;
	uint32_t sum;
	int fd;

	(void)state;
	device(&tun, 1, TUN_VNET);
	fd = udp_socket(OWN, 7001);
	send_far(fd, "even", 4);
	assert_int_equal(read_soon(&tun, TUN_PACKET_MAX_BYTES, &vnet), IP_UDP_BYTES + 4);
	/* pseudo header: both addresses, protocol, length */
	sum = (uint32_t)ones_sum(packet + 12, 20) + IPPROTO_UDP + 12;
	assert_int_equal((sum & 0xffff) + (sum >> 16), 0xffff);
	close(fd);
	tun_close(&tun);
}

static void checksum_left_to_us_is_marked(void **state)
{
	struct tun tun;
	struct tun_vnet vnet;
	int fd;

	(void)state;
	device(&tun, 1, TUN_VNET | TUN_TSO);
	if (!(tun.features & TUN_TSO)) {
		tun_close(&tun);
		skip();
	}
	fd = udp_socket(OWN, 7001);
	send_far(fd, "even", 4);
	assert_int_equal(read_soon(&tun, TUN_PACKET_MAX_BYTES, &vnet), IP_UDP_BYTES + 4);
	assert_int_equal(vnet.flags, VIRTIO_NET_HDR_F_NEEDS_CSUM);
	assert_int_equal(vnet.csum_start, 20);
	assert_int_equal(vnet.csum_offset, 6);
	close(fd);
	tun_close(&tun);
}

static void train_of_datagrams_is_read_whole_and_written_whole(void **state)
{
	enum {
		SEGMENT = 1000,
		TRAIN = 3500
	};
	static uint8_t data[TRAIN];
	struct tun tun;
	struct tun_vnet vnet;
	int segment = SEGMENT, fd;
	uint8_t swap[4];

	(void)state;
	device(&tun, 1, TUN_VNET | TUN_TSO | TUN_USO);
	if (!(tun.features & TUN_USO)) {
		tun_close(&tun);
		skip();
	}
	for (size_t i = 0; i < sizeof(data); i++)
		data[i] = (uint8_t)(i / SEGMENT + 1);
	fd = udp_socket(OWN, 7000);
	assert_int_equal(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &segment, sizeof(segment)), 0);
	send_far(fd, data, sizeof(data));
	assert_int_equal(read_soon(&tun, TUN_PACKET_MAX_BYTES, &vnet), IP_UDP_BYTES + TRAIN);
	assert_int_equal(vnet.gso_type, 5 /* VIRTIO_NET_HDR_GSO_UDP_L4 */);
	assert_int_equal(vnet.gso_size, SEGMENT);
	assert_memory_equal(packet + IP_UDP_BYTES, data, TRAIN);

	/* Back with source and destination exchanged, which no checksum minds. */
	memcpy(swap, packet + 12, 4);
	memcpy(packet + 12, packet + 16, 4);
	memcpy(packet + 16, swap, 4);
	assert_int_equal(tun_write(&tun, 0, packet, IP_UDP_BYTES + TRAIN, &vnet), 0);
	for (unsigned i = 0; i < 4; i++) {
		size_t len = i < 3 ? SEGMENT : TRAIN - 3 * SEGMENT;
		uint8_t got[SEGMENT + 1];

		assert_int_equal(recv(fd, got, sizeof(got), MSG_DONTWAIT), len);
		assert_memory_equal(got, data + i * SEGMENT, len);
	}
	close(fd);
	tun_close(&tun);
}

static void packet_longer_than_the_buffer_is_told(void **state)
{
	struct tun tun;
	struct tun_vnet vnet;
	int fd;

	(void)state;
	device(&tun, 1, TUN_VNET);
	fd = udp_socket(OWN, 7001);
	send_far(fd, "0123456789", 10);
	send_far(fd, "0123456789", 10);
	assert_int_equal(read_soon(&tun, IP_UDP_BYTES + 9, &vnet), -EMSGSIZE);
	assert_int_equal(read_soon(&tun, IP_UDP_BYTES + 10, &vnet), IP_UDP_BYTES + 10);
	close(fd);
	tun_close(&tun);
}

static void write_to_a_device_that_is_down_fails(void **state)
{
	struct tun tun;

	(void)state;
	assert_int_equal(tun_open(&tun, "test%d", 1, 0), 0);
	assert_true(tun_write(&tun, 0, packet, make_packet(7001, "lost"), NULL) < 0);
	tun_close(&tun);
}

static void every_packet_comes_out_of(unsigned n_kept)
{
	enum {
		FLOWS = 32
	};
	struct tun tun;
	struct tun_vnet vnet;
	unsigned n_read = 0;
	int fd[FLOWS];

	device(&tun, 4, TUN_MULTI_QUEUE | TUN_VNET);
	assert_int_equal(tun.n_queues, 4);
	tun_keep_queues(&tun, n_kept);
	assert_int_equal(tun.n_queues, n_kept);
	for (unsigned i = 0; i < FLOWS; i++) {
		fd[i] = udp_socket(OWN, (uint16_t)(7100 + i));
		send_far(fd[i], "flow", 4);
	}
	while (n_read < FLOWS) {
		struct pollfd p[4];

		for (unsigned q = 0; q < n_kept; q++)
			p[q] = (struct pollfd){ .fd = tun.fd[q], .events = POLLIN };
		assert_true(poll(p, n_kept, 1000) > 0);
		for (unsigned q = 0; q < n_kept; q++)
			while (tun_read(&tun, q, packet, TUN_PACKET_MAX_BYTES, &vnet) == IP_UDP_BYTES + 4)
				n_read++;
	}
	for (unsigned q = 0; q < tun.n_queues; q++) {
		char text[8];

		assert_int_equal(tun_write(&tun, q, packet, make_packet((uint16_t)(7100 + q), "back"), NULL), 0);
		assert_int_equal(recv(fd[q], text, sizeof(text), MSG_DONTWAIT), 4);
	}
	for (unsigned i = 0; i < FLOWS; i++)
		close(fd[i]);
	tun_close(&tun);
}

static void every_packet_comes_out_of_one_of_the_queues(void **state)
{
	(void)state;
	every_packet_comes_out_of(4);
}

static void queue_given_back_gets_no_packets(void **state)
{
	(void)state;
	every_packet_comes_out_of(1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(name_is_numbered_by_the_kernel_and_goes_at_close),
		cmocka_unit_test(name_in_use_is_refused_not_joined),
		cmocka_unit_test(bad_names_are_refused),
		cmocka_unit_test(every_error_has_a_sentence),
		cmocka_unit_test(queues_are_opened_up_to_the_limit),
		cmocka_unit_test(packets_pass_without_a_header),
		cmocka_unit_test(packets_pass_with_a_header),
		cmocka_unit_test(packets_pass_with_offloads),
		cmocka_unit_test(offloads_need_the_header),
		cmocka_unit_test(checksum_is_the_kernels_without_offloads),
		cmocka_unit_test(checksum_left_to_us_is_marked),
		cmocka_unit_test(train_of_datagrams_is_read_whole_and_written_whole),
		cmocka_unit_test(packet_longer_than_the_buffer_is_told),
		cmocka_unit_test(write_to_a_device_that_is_down_fails),
		cmocka_unit_test(every_packet_comes_out_of_one_of_the_queues),
		cmocka_unit_test(queue_given_back_gets_no_packets),
	};
	struct tun tun;
	int ret;

	netns_enter();
	netns_set("net/ipv6/conf/default/disable_ipv6", "1"); /* no router solicitations among the test's packets */
	ret = tun_open(&tun, "test%d", 1, 0);
	if (ret == -ENOENT || ret == -ENODEV) /* a container without the device */
		return 77;
	tun_close(&tun);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
