/* azure-vnet: the executable a container runtime starts for every pod.
 *
 * It carries no knowledge of networks. It sends environment, stdin and the descriptor of the pod's network namespace to
 * the resident agent, waits, copies the answer to stdout and exits with the agent's code. The frame is described in
 * podvnet/plugin/frame.py; shim.py is this program's twin and tests/unit/plugin/test_shim.py runs against both.
 *
 * netavark, podman's other network stack, starts it with a verb as its argument and is served the same way
 * (podvnet/plugin/netavark.py).
 *
 * Only four things does it answer itself: VERSION, netavark's info, a person who runs it without either, and "no agent".
 * No heap: fixed buffers that cost nothing until touched. Start-up is the price of every pod, so it is linked statically.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#ifndef PODVNET_VERSION
#define PODVNET_VERSION "unversioned"
#endif
#ifndef PODVNET_REPLY_SECONDS
#define PODVNET_REPLY_SECONDS 120
#endif

enum { STDIN_LIMIT = 512 << 10, ENVIRONMENT_LIMIT = 512 << 10, REPLY_LIMIT = 1 << 20 };
enum { BAD_ENVIRONMENT = 4, IO_FAILURE = 5, CANNOT_DECODE = 6, TRY_AGAIN = 11, NOT_AVAILABLE = 50 };

#define AGENT_REMEDY "start it with 'systemctl start podvnet-agent' or 'podvnet agent'; look with 'podvnet doctor'"
static const char *agent_remedy = AGENT_REMEDY;
static char input[STDIN_LIMIT + 2]; /* one byte more shows that there is too much, and a NUL ends the scan */
static char frame[4 + ENVIRONMENT_LIMIT + STDIN_LIMIT];
static char reply[8 + REPLY_LIMIT];
static char cni_version[16] = "1.1.0";
static const char *command, *socket_path;
static const char *verb; /* netavark's */
extern char **environ;

static int write_all(const char *data, size_t size) {
    while (size) {
        ssize_t n = write(1, data, size);
        if (n < 0 && errno != EINTR) return 0;
        if (n > 0) data += n, size -= (size_t)n;
    }
    return 1;
}

/* Append text inside a JSON string. Bytes outside ASCII become '?': a path is all that could hold any. */
static size_t escape(char *out, const char *text) {
    char *at = out;
    for (; *text; text++) {
        unsigned char byte = (unsigned char)*text;
        if (byte == '"' || byte == '\\') *at++ = '\\', *at++ = (char)byte;
        else if (byte < 0x20) at += sprintf(at, "\\u%04x", byte);
        else *at++ = byte < 0x7f ? (char)byte : '?';
    }
    return (size_t)(at - out);
}

static _Noreturn void fail(int code, const char *details, const char *format, ...) __attribute__((format(printf, 3, 4)));
static _Noreturn void fail(int code, const char *details, const char *format, ...) {
    static char msg[1024], json[8192]; /* escaping lengthens a character to six at most */
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(msg, sizeof msg, format, arguments);
    va_end(arguments);
    char *at = json;
    if (verb) at += sprintf(at, "{\"error\":\"");
    else at += sprintf(at, "{\"cniVersion\":\"%s\",\"code\":%d,\"msg\":\"", cni_version, code);
    at += escape(at, msg);
    at += sprintf(at, verb ? ": " : "\",\"details\":\"");
    at += escape(at, details);
    at += sprintf(at, "\"}\n");
    write_all(json, (size_t)(at - json));
    exit(1);
}

static _Noreturn void no_agent(const char *what, const char *why) {
    fail(strcmp(command, "STATUS") ? TRY_AGAIN : NOT_AVAILABLE, agent_remedy, "the podvnet agent at %.200s %s%s",
         socket_path, what, why);
}

/* Find the version to answer in, in bytes that need not be JSON: "cniVersion": "<1 to 15 digits and dots>". */
static void scan_version(const char *text, size_t size) {
    static const char key[] = "\"cniVersion\"";
    const char *end = text + size;
    while ((text = memmem(text, (size_t)(end - text), key, sizeof key - 1))) {
        text += sizeof key - 1;
        const char *at = text + strspn(text, " \t\r\n");
        if (*at++ != ':') continue;
        at += strspn(at, " \t\r\n");
        if (*at++ != '"') continue;
        size_t length = strspn(at, "0123456789.");
        if (length < 1 || length > 15 || at[length] != '"') continue;
        memcpy(cni_version, at, length);
        cni_version[length] = 0;
        return;
    }
}

static size_t read_stdin(int failure_matters) {
    size_t size = 0;
    while (size <= STDIN_LIMIT) {
        ssize_t n = read(0, input + size, STDIN_LIMIT + 1 - size);
        if (n == 0) break;
        if (n > 0) size += (size_t)n;
        else if (errno != EINTR) {
            if (failure_matters) fail(IO_FAILURE, "the runtime must give the network configuration there",
                                      "cannot read stdin: %s", strerror(errno));
            break;
        }
    }
    scan_version(input, size);
    return size;
}

static size_t put_string(size_t used, const char *name, const char *value) {
    size_t name_size = strlen(name), value_size = strlen(value);
    if (name_size + value_size + 2 > 4 + ENVIRONMENT_LIMIT - used)
        fail(BAD_ENVIRONMENT, "look at CNI_ARGS", "the CNI_ variables are larger than %d bytes", ENVIRONMENT_LIMIT);
    memcpy(frame + used, name, name_size);
    memcpy(frame + used + name_size, value, value_size + 1);
    return used + name_size + value_size + 1;
}

static void put_u32(char *out, uint32_t value) {
    for (int i = 0; i < 4; i++) out[i] = (char)(value >> 8 * i);
}

static uint32_t get_u32(const char *in) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) value |= (uint32_t)(unsigned char)in[i] << 8 * i;
    return value;
}

static size_t build_frame(const char *program, const char *netns_path, int netns_errno, size_t input_size) {
    size_t used = 4;
    for (char **variable = environ; *variable; variable++)
        if (!strncmp(*variable, "CNI_", 4)) used = put_string(used, *variable, "");
    used = put_string(used, "PODVNET_PROGRAM=", program);
    if (verb) {
        used = put_string(used, "PODVNET_NETAVARK=", verb);
        used = put_string(used, "CNI_NETNS=", netns_path ? netns_path : "");
    }
    if (netns_errno) {
        char number[12];
        sprintf(number, "%d", netns_errno);
        used = put_string(used, "PODVNET_NETNS_ERRNO=", number);
    }
    frame[used++] = 0;
    memcpy(frame + used, input, input_size);
    used += input_size;
    put_u32(frame, (uint32_t)(used - 4));
    return used;
}

/* Whether the runtime is not root's: it may not reach the agent, or has a user namespace and a /run of its own. */
static int rootless(int error) {
    char map[64] = "";
    int fd = open("/proc/self/uid_map", O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? 0 : read(fd, map, sizeof map - 1);
    return error == EACCES || (n > 0 && !strstr(map, " 4294967295"));
}

static int connect_agent(void) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    struct timeval patience = {.tv_sec = PODVNET_REPLY_SECONDS};
    int fd = -1;
    if (strlen(socket_path) >= sizeof address.sun_path) errno = ENAMETOOLONG;
    else fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0) {
        strcpy(address.sun_path, socket_path);
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        if (!connect(fd, (struct sockaddr *)&address, sizeof address)) return fd;
    }
    int error = errno;
    if (rootless(error)) agent_remedy = AGENT_REMEDY "; the containers of a rootless runtime cannot be attached";
    no_agent("does not answer: ", strerror(error));
}

static _Noreturn void lost(int error) {
    char seconds[32];
    snprintf(seconds, sizeof seconds, "%d seconds", PODVNET_REPLY_SECONDS);
    if (error == EAGAIN) no_agent("did not reply within ", seconds);
    if (error == 0 || error == EPIPE || error == ECONNRESET) no_agent("hung up before its whole reply", "");
    no_agent("was lost: ", strerror(error));
}

static void send_all(int fd, const char *data, size_t size, int netns) {
    union { char bytes[CMSG_SPACE(sizeof(int))]; struct cmsghdr align; } control = {{0}};
    while (size) {
        struct iovec part = {.iov_base = (char *)data, .iov_len = size};
        struct msghdr message = {.msg_iov = &part, .msg_iovlen = 1};
        if (netns >= 0) {
            message.msg_control = control.bytes;
            message.msg_controllen = sizeof control.bytes;
            struct cmsghdr *header = CMSG_FIRSTHDR(&message);
            header->cmsg_level = SOL_SOCKET;
            header->cmsg_type = SCM_RIGHTS;
            header->cmsg_len = CMSG_LEN(sizeof netns);
            memcpy(CMSG_DATA(header), &netns, sizeof netns);
        }
        ssize_t n = sendmsg(fd, &message, MSG_NOSIGNAL);
        if (n > 0) data += n, size -= (size_t)n, netns = -1;
        else if (errno != EINTR) lost(errno);
    }
}

static void receive_all(int fd, char *data, size_t size) {
    while (size) {
        ssize_t n = recv(fd, data, size, 0);
        if (n > 0) data += n, size -= (size_t)n;
        else if (n == 0 || errno != EINTR) lost(n ? errno : 0);
    }
}

int main(int argc, char **argv) {
    const char *program = argc > 0 && argv[0] ? argv[0] : "azure-vnet";
    const char *netns_path = getenv("CNI_NETNS");
    if (strrchr(program, '/')) program = strrchr(program, '/') + 1;
    command = getenv("CNI_COMMAND");
    socket_path = getenv("PODVNET_SOCKET");
    if (!socket_path || !*socket_path) socket_path = "/run/podvnet/agent.sock";
    signal(SIGPIPE, SIG_IGN);

    if ((!command || !*command) && argc > 1) {
        command = verb = argv[1];
        netns_path = argc > 2 ? argv[2] : NULL;
        if (!strcmp(verb, "info")) {
            int n = sprintf(reply, "{\"version\":\"%s\",\"api_version\":\"1.0.0\"}\n", PODVNET_VERSION);
            return !write_all(reply, (size_t)n);
        }
    }
    if (!command || !*command) {
        fprintf(stderr, "%s: CNI plug-in of podvnet %s\n", program, PODVNET_VERSION);
        fputs("CNI versions supported: 0.1.0, 0.2.0, 0.3.0, 0.3.1, 0.4.0, 1.0.0, 1.1.0\n", stderr);
        return 0;
    }
    size_t input_size = read_stdin(strcmp(command, "VERSION"));
    if (!strcmp(command, "VERSION")) {
        int n = sprintf(reply, "{\"cniVersion\":\"%s\",\"supportedVersions\":[\"0.1.0\",\"0.2.0\",\"0.3.0\",\"0.3.1\","
                        "\"0.4.0\",\"1.0.0\",\"1.1.0\"]}\n", cni_version);
        return !write_all(reply, (size_t)n);
    }
    if (input_size > STDIN_LIMIT)
        fail(CANNOT_DECODE, "a network configuration is one or two KiB; look at the files in /etc/cni/net.d",
             "stdin is over the size limit of %d bytes", STDIN_LIMIT);

    /* O_NONBLOCK: should the path be a FIFO, open must not wait for a writer. */
    int netns = netns_path && *netns_path ? open(netns_path, O_RDONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    size_t frame_size = build_frame(program, netns_path, netns < 0 && netns_path && *netns_path ? errno : 0, input_size);
    int agent = connect_agent();
    send_all(agent, frame, frame_size, netns);
    receive_all(agent, reply, 8);
    uint32_t code = get_u32(reply), size = get_u32(reply + 4);
    if (size > REPLY_LIMIT)
        fail(IO_FAILURE, agent_remedy, "the reply of the podvnet agent is over the size limit of %d bytes", REPLY_LIMIT);
    receive_all(agent, reply + 8, size); /* all of it before any of it goes out: half a result is worse than none */
    if (!write_all(reply + 8, size)) return 1;
    return code > 255 ? 1 : (int)code;
}
