/*
 * The first process: finds the root slot that the boot loader chose and hands over to it.
 *
 * It loads the modules that lie in /modules (in the order of their names), waits for the partition that
 * `kos.root=NAME` names, mounts it read-only and runs /usr/lib/kos/init there. When that cannot be done it leaves
 * the reason in the boot record's note (see kos.device.store.bootrecord) and reboots, so that the boot loader
 * counts the attempt and falls back. With `kos.root=ram` the root, data and key file systems lie in /ram of the initramfs
 * and become loop devices 0 to 2. It must not decide which slot to boot, and must not write anything else.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/loop.h>
#include <linux/reboot.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define NEW_ROOT "/newroot"
#define INIT "/usr/lib/kos/init"
#define ENV_PARTITION "kos-env"
#define NOTE_OFFSET 0x20000 /* NOTE_OFFSET of kos.device.store.bootrecord */
#define NOTE_SIZE 512
#define NOTE_SLOT "kos_failed" /* NOTE_SLOT of kos.device.store.bootrecord */
#define ROOT_PREFIX "kos-root-"
#define DEVICE_WAIT_MS 10000
#define STEP_MS 5

static char root_name[64];

static void say(const char *text)
{
	char line[320];
	int n = snprintf(line, sizeof line, "<5>kos-init: %s\n", text);
	int fd = open("/dev/kmsg", O_WRONLY | O_CLOEXEC);

	if (fd >= 0) {
		(void)!write(fd, line, (size_t)n);
		close(fd);
	}
}

/* The device of the partition called `name`, as /dev/…; 0 when there is none (yet). */
static int find_partition(const char *name, char *device, size_t size)
{
	DIR *dir = opendir("/sys/class/block");
	struct dirent *entry;
	int found = 0;

	if (!dir)
		return 0;
	while (!found && (entry = readdir(dir))) {
		char path[320], text[1024];
		char wanted[96];

		snprintf(path, sizeof path, "/sys/class/block/%s/uevent", entry->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0)
			continue;
		ssize_t n = read(fd, text, sizeof text - 1);
		close(fd);
		if (n <= 0)
			continue;
		text[n] = 0;
		snprintf(wanted, sizeof wanted, "PARTNAME=%s\n", name);
		if (strstr(text, wanted)) {
			snprintf(device, size, "/dev/%s", entry->d_name);
			found = 1;
		}
	}
	closedir(dir);
	return found;
}

static int wait_for_partition(const char *name, char *device, size_t size)
{
	for (int waited = 0; waited < DEVICE_WAIT_MS; waited += STEP_MS) {
		if (find_partition(name, device, size))
			return 1;
		nanosleep(&(struct timespec){ .tv_nsec = STEP_MS * 1000000L }, NULL);
	}
	return 0;
}

static void leave_note(const char *reason)
{
	char device[320], note[NOTE_SIZE] = "";
	size_t prefix = sizeof ROOT_PREFIX - 1;

	if (strncmp(root_name, ROOT_PREFIX, prefix) || !find_partition(ENV_PARTITION, device, sizeof device))
		return;
	snprintf(note, sizeof note, NOTE_SLOT "=%s\n%s: %s\n", root_name + prefix, root_name, reason);
	int fd = open(device, O_WRONLY | O_SYNC | O_CLOEXEC);
	if (fd >= 0) {
		(void)!pwrite(fd, note, sizeof note, NOTE_OFFSET);
		close(fd);
	}
}

static _Noreturn void fail(const char *format, ...)
{
	char reason[256];
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(reason, sizeof reason, format, arguments);
	va_end(arguments);
	say(reason);
	leave_note(reason);
	sync();
	reboot(LINUX_REBOOT_CMD_RESTART);
	for (;;)
		pause();
}

static void must_mount(const char *source, const char *target, const char *type, unsigned long flags)
{
	mkdir(target, 0755);
	if (mount(source, target, type, flags, NULL))
		fail("cannot mount %s on %s: %s", type, target, strerror(errno));
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

static void load_modules(void)
{
	struct dirent **names;
	int count = scandir("/modules", &names, NULL, by_name);

	for (int i = 0; i < count; i++) {
		char path[320];

		if (names[i]->d_name[0] == '.')
			continue;
		snprintf(path, sizeof path, "/modules/%s", names[i]->d_name);
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		if (fd < 0 || (syscall(SYS_finit_module, fd, "", 0) && errno != EEXIST)) {
			char text[400];

			/* Not fatal: another board's driver may be among them. A missing root says so later. */
			snprintf(text, sizeof text, "module %s: %s", names[i]->d_name, strerror(errno));
			say(text);
		}
		if (fd >= 0)
			close(fd);
		unlink(path);
		free(names[i]);
	}
	if (count >= 0)
		free(names);
}

static void read_root_name(void)
{
	static const char key[] = "kos.root=";
	char text[2048];
	int fd = open("/proc/cmdline", O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof text - 1);

	close(fd);
	text[n < 0 ? 0 : n] = 0;
	for (char *word = strtok(text, " \n"); word; word = strtok(NULL, " \n"))
		if (!strncmp(word, key, sizeof key - 1))
			snprintf(root_name, sizeof root_name, "%s", word + sizeof key - 1);
	if (!root_name[0])
		fail("the kernel command line names no kos.root=");
}

/* Make a loop device of a file in RAM; it stays open as long as it is mounted. */
static void loop_device(const char *device, const char *path, int flags)
{
	int file = open(path, flags | O_CLOEXEC);
	int loop = open(device, flags | O_CLOEXEC);

	if (file < 0 || loop < 0 || ioctl(loop, LOOP_SET_FD, file))
		fail("cannot make %s of %s: %s", device, path, strerror(errno));
	close(file);
	close(loop);
}

static void use_ram(char *device, size_t size)
{
	loop_device("/dev/loop0", "/ram/root", O_RDONLY);
	loop_device("/dev/loop1", "/ram/data", O_RDWR);
	loop_device("/dev/loop2", "/ram/keys", O_RDWR);
	snprintf(device, size, "/dev/loop0");
}

int main(void)
{
	static const char *const moved[] = { "/dev", "/proc", "/sys" };
	char device[320];

	mkdir(NEW_ROOT, 0755);
	must_mount("devtmpfs", "/dev", "devtmpfs", MS_NOSUID);
	must_mount("proc", "/proc", "proc", MS_NOSUID | MS_NODEV | MS_NOEXEC);
	must_mount("sysfs", "/sys", "sysfs", MS_NOSUID | MS_NODEV | MS_NOEXEC);
	read_root_name();
	load_modules();
	if (!strcmp(root_name, "ram"))
		use_ram(device, sizeof device);
	else if (!wait_for_partition(root_name, device, sizeof device))
		fail("no partition called %s within %d s", root_name, DEVICE_WAIT_MS / 1000);
	if (mount(device, NEW_ROOT, "squashfs", MS_RDONLY | MS_NODEV, NULL))
		fail("cannot mount the root %s: %s", device, strerror(errno));
	for (size_t i = 0; i < sizeof moved / sizeof *moved; i++) {
		char target[64];

		snprintf(target, sizeof target, NEW_ROOT "%s", moved[i]);
		if (mount(moved[i], target, NULL, MS_MOVE, NULL))
			fail("cannot move %s: %s", moved[i], strerror(errno));
	}
	unlink("/init");
	if (chdir(NEW_ROOT) || mount(".", "/", NULL, MS_MOVE, NULL) || chroot(".") || chdir("/"))
		fail("cannot switch to the root: %s", strerror(errno));
	execl(INIT, INIT, (char *)NULL);
	fail("cannot run " INIT ": %s", strerror(errno));
}
