/*
 * The example's guest: the whole user space of a small Linux in one static program.
 *
 * It loads the drivers that the build put beside it, looks at its disks, its memory and its network, says on the console
 * what it found, and then obeys words typed there, a line each: see `commands`. It is process 1 and must not end.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#define SECTOR 512
#define LINE_MAX_BYTES 256
#define CONNECT_MS 5000

static char arguments[2048]; /* the kernel's command line */

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_drivers(void)
{
	struct dirent **names;
	int count = scandir("/modules", &names, NULL, by_name);

	for (int i = 0; i < count; i++) {
		char path[320];

		if (names[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/modules/%s", names[i]->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd >= 0) {
			syscall(SYS_finit_module, fd, "", 0);
			close(fd);
		}
	}
}

/* What the kernel's command line says after `name=`; empty where it does not. */
static const char *argument(const char *name, char *value, size_t size)
{
	const char *found = strstr(arguments, name);
	size_t n = 0;

	if (found)
		for (found += strlen(name); *found && *found != ' ' && *found != '\n' && n + 1 < size; found++)
			value[n++] = *found;
	value[n] = 0;
	return value;
}

static int number_in(const char *path)
{
	char text[32] = "";
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	if (fd < 0)
		return -1;
	(void)!read(fd, text, sizeof text - 1);
	close(fd);
	return atoi(text);
}

/* Counts its starts in the first sector of each writable disk: what was written is there after the next start. */
static void look_at_disks(void)
{
	for (char letter = 'a'; letter <= 'f'; letter++) {
		char device[32], path[64], sector[SECTOR] = "";
		unsigned starts = 0;

		snprintf(device, sizeof device, "/dev/vd%c", letter);
		snprintf(path, sizeof path, "/sys/block/vd%c/size", letter);
		int sectors = number_in(path);
		if (sectors < 0)
			continue;
		snprintf(path, sizeof path, "/sys/block/vd%c/ro", letter);
		int readonly = number_in(path);
		int fd = open(device, (readonly ? O_RDONLY : O_RDWR | O_SYNC) | O_CLOEXEC);
		if (readonly) {
			(void)!pread(fd, sector, sizeof sector, 0);
			sector[16] = 0;
			printf("guest: disk vd%c, %d KiB, read-only, begins with \"%s\"\n", letter, sectors / 2, sector);
		} else {
			(void)!pread(fd, sector, sizeof sector, 0);
			sscanf(sector, "starts %u", &starts);
			snprintf(sector, sizeof sector, "starts %u\n", ++starts);
			ssize_t n = pwrite(fd, sector, sizeof sector, 0);
			printf("guest: disk vd%c, %d KiB, writable, start %u%s\n", letter, sectors / 2, starts,
			       n == SECTOR ? "" : ", and could not be written");
		}
		close(fd);
	}
}

static void set_address(int fd, unsigned long request, struct ifreq *wanted, const char *address)
{
	struct sockaddr_in *in = (struct sockaddr_in *)&wanted->ifr_addr;

	*in = (struct sockaddr_in){ .sin_family = AF_INET };
	inet_pton(AF_INET, address, &in->sin_addr);
	ioctl(fd, request, wanted);
}

/* The monitor's own small network: 10.0.2.15 for the guest, 10.0.2.2 is the way out. */
static int network_up(void)
{
	struct ifreq wanted = { .ifr_name = "eth0" };
	struct rtentry route = { .rt_flags = RTF_UP | RTF_GATEWAY };
	struct sockaddr_in *gateway = (struct sockaddr_in *)&route.rt_gateway;
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || ioctl(fd, SIOCGIFINDEX, &wanted)) {
		close(fd);
		return 0;
	}
	set_address(fd, SIOCSIFADDR, &wanted, "10.0.2.15");
	set_address(fd, SIOCSIFNETMASK, &wanted, "255.255.255.0");
	ioctl(fd, SIOCGIFFLAGS, &wanted);
	wanted.ifr_flags |= IFF_UP;
	ioctl(fd, SIOCSIFFLAGS, &wanted);
	route.rt_dst.sa_family = route.rt_genmask.sa_family = AF_INET;
	gateway->sin_family = AF_INET;
	inet_pton(AF_INET, "10.0.2.2", &gateway->sin_addr);
	ioctl(fd, SIOCADDRT, &route);
	close(fd);
	return 1;
}

/* Whether something answers at ADDRESS:PORT; what it says first is shown. */
static void connect_to(const char *place)
{
	char address[64], said[128] = "";
	const char *colon = strchr(place, ':');
	struct sockaddr_in to = { .sin_family = AF_INET };
	int error = 0;
	socklen_t size = sizeof error;

	snprintf(address, sizeof address, "%.*s", colon ? (int)(colon - place) : 0, place);
	if (!colon || inet_pton(AF_INET, address, &to.sin_addr) != 1) {
		printf("guest: expected ADDRESS:PORT, found %s\n", place);
		return;
	}
	to.sin_port = htons((unsigned short)atoi(colon + 1));
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct pollfd wait = { .fd = fd, .events = POLLOUT };
	if (connect(fd, (struct sockaddr *)&to, sizeof to) && errno != EINPROGRESS)
		error = errno;
	else if (poll(&wait, 1, CONNECT_MS) != 1)
		error = ETIMEDOUT;
	else
		getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
	if (!error) {
		wait.events = POLLIN;
		if (poll(&wait, 1, CONNECT_MS) == 1 && read(fd, said, sizeof said - 1) < 0)
			error = errno;
		said[strcspn(said, "\r\n")] = 0;
	}
	close(fd);
	if (error)
		printf("guest: %s cannot be reached: %s\n", place, strerror(error));
	else
		printf("guest: reached %s, it says \"%s\"\n", place, said);
}

static void eat_memory(void)
{
	size_t eaten = 0;

	for (;;) {
		volatile char *piece = malloc(1 << 20);

		if (!piece)
			break;
		for (size_t at = 0; at < 1 << 20; at += 4096)
			piece[at] = 1;
		if (++eaten % 16 == 0)
			printf("guest: ate %zu MiB\n", eaten);
	}
	printf("guest: no more memory after %zu MiB\n", eaten);
}

static void flood(size_t kib)
{
	static char line[1024];

	memset(line, 'x', sizeof line);
	line[sizeof line - 1] = '\n';
	while (kib--)
		(void)!write(STDOUT_FILENO, line, sizeof line);
	printf("guest: the flood is over\n");
}

static void end(int how)
{
	sync();
	reboot(how);
}

static void obey(char *line)
{
	char *rest = strchr(line, ' ');

	if (rest)
		*rest++ = 0;
	if (!strcmp(line, "hello"))
		printf("guest: hello to you\n");
	else if (!strcmp(line, "poweroff"))
		end(RB_POWER_OFF);
	else if (!strcmp(line, "reboot"))
		end(RB_AUTOBOOT);
	else if (!strcmp(line, "panic"))
		_exit(1); /* process 1 must not end: the kernel panics */
	else if (!strcmp(line, "eat"))
		eat_memory();
	else if (!strcmp(line, "flood") && rest)
		flood((size_t)atol(rest));
	else if (!strcmp(line, "connect") && rest)
		connect_to(rest);
	else if (*line)
		printf("guest: hello, connect ADDRESS:PORT, eat, flood KIB, panic, reboot or poweroff?\n");
}

int main(void)
{
	char line[LINE_MAX_BYTES], server[64];
	struct sysinfo memory;

	mount("proc", "/proc", "proc", 0, NULL);
	mount("sysfs", "/sys", "sysfs", 0, NULL);
	load_drivers();
	mount("devtmpfs", "/dev", "devtmpfs", 0, NULL);
	int console = open("/dev/hvc0", O_RDWR);
	if (console >= 0)
		for (int fd = 0; fd < 3; fd++)
			dup2(console, fd);
	setvbuf(stdout, NULL, _IOLBF, 0);
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	(void)!read(fd, arguments, sizeof arguments - 1);
	close(fd);
	sysinfo(&memory);
	printf("guest: up, %ld processor, %lu MiB of memory\n", sysconf(_SC_NPROCESSORS_ONLN),
	       memory.totalram * memory.mem_unit >> 20);
	look_at_disks();
	if (!network_up())
		printf("guest: no network\n");
	else if (*argument("guest.server=", server, sizeof server))
		connect_to(server);
	printf("guest: ready\n");
	while (fgets(line, sizeof line, stdin)) {
		line[strcspn(line, "\r\n")] = 0;
		obey(line);
	}
	return 1;
}
