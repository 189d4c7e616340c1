/*
 * The helper that holds published ports and outlives the daemon (docs/decisions/0040-a-keeper-of-published-ports.md). It is given bound sockets over a unix socket, keeps them
 * from other programs, and carries what really arrives there to the containers: [::1], families mixed, everything where no rule can act.
 *
 * Compiled by the C compiler inside Bun and put into a file without any library (src/linux/native-program.ts): machine code that calls the kernel and nothing else,
 * so no data of static storage, no strings, no struct copies.
 *
 * TCP is carried without a buffer a connection: what lies in one socket is looked at (MSG_PEEK), sent as far as the other takes it, and that much
 * is discarded (MSG_TRUNC). What is not taken stays in the kernel, which slows the sender down.
 */
typedef unsigned char u8;
typedef unsigned short u16;
typedef unsigned int u32;
typedef unsigned long u64;

#if defined(__x86_64__)
#define NR_CLOSE 3
#define NR_MMAP 9
#define NR_DUP 32
#define NR_SENDTO 44
#define NR_RECVFROM 45
#define NR_SENDMSG 46
#define NR_RECVMSG 47
#define NR_SHUTDOWN 48
#define NR_SOCKET 41
#define NR_CONNECT 42
#define NR_LISTEN 50
#define NR_GETSOCKNAME 51
#define NR_SETSOCKOPT 54
#define NR_GETSOCKOPT 55
#define NR_CLONE 56
#define NR_EXIT 60
#define NR_FCNTL 72
#define NR_GETPID 39
#define NR_PRCTL 157
#define NR_CLOCK_GETTIME 228
#define NR_EPOLL_CTL 233
#define NR_EPOLL_PWAIT 281
#define NR_ACCEPT4 288
#define NR_EPOLL_CREATE1 291
#define NR_PRLIMIT64 302
#define NR_GETRANDOM 318
#define PACKED __attribute__((packed))
#else
#define NR_DUP 23
#define NR_FCNTL 25
#define NR_CLOSE 57
#define NR_EPOLL_CREATE1 20
#define NR_EPOLL_CTL 21
#define NR_EPOLL_PWAIT 22
#define NR_EXIT 93
#define NR_CLOCK_GETTIME 113
#define NR_PRCTL 167
#define NR_GETPID 172
#define NR_SOCKET 198
#define NR_LISTEN 201
#define NR_CONNECT 203
#define NR_GETSOCKNAME 204
#define NR_SENDTO 206
#define NR_RECVFROM 207
#define NR_SETSOCKOPT 208
#define NR_GETSOCKOPT 209
#define NR_SHUTDOWN 210
#define NR_SENDMSG 211
#define NR_RECVMSG 212
#define NR_CLONE 220
#define NR_MMAP 222
#define NR_ACCEPT4 242
#define NR_PRLIMIT64 261
#define NR_GETRANDOM 278
#define PACKED
#endif

#define EAGAIN 11
#define EINTR 4
#define EMFILE 24
#define ENFILE 23
#define EINPROGRESS 115
#define AF_INET 2
#define AF_INET6 10
#define STREAM 1
#define DGRAM 2
#define SOCK_FLAGS (04000 | 02000000) /* NONBLOCK, CLOEXEC */
#define TCP 6
#define UDP 17
#define MSG_PEEK 2
#define MSG_TRUNC 0x20
#define MSG_DONTWAIT 0x40
#define MSG_NOSIGNAL 0x4000
#define MSG_CMSG_CLOEXEC 0x40000000
#define POLLIN 1
#define POLLOUT 4
#define POLLERR 8
#define POLLHUP 0x10
#define POLLRDHUP 0x2000
#define POLLET 0x80000000u

#define PORTS 65536
#define CONNS 65536
#define FLOWS 16384
#define HEADS 4096
#define BUFFER 65536
#define BATCH 64
/* How many buffers of one connection are carried before others have their turn. */
#define TURN 8
#define NONE 0xffffffffu
/* Descriptors that neither ports nor what goes through them may have: for the daemon, its messages, and the keeper itself. */
#define RESERVE 128

/* What a message of the daemon asks. */
#define OP_HELLO 1
#define OP_ADD 2
#define OP_REMOVE 3
#define OP_LIST 4
#define OP_RETIRE 5

/* One port, on the wire and in memory; the first 20 bytes name it. Ports in the machine's order, addresses as in packets. */
struct Record {
  u8 protocol, family;
  u16 port;
  u8 address[16];
  u8 targetFamily, hasSocket;
  u16 targetPort;
  u8 target[16];
  u32 place; /* in a list: where the next one is looked for */
  u32 local; /* whether what comes by other links than the loopback device is dropped, whatever the host's rules say */
};
/* A question for a list says in `version` from which place on. */
struct Message {
  u32 op, count, version, pid, ports, connections;
  struct Record records[BATCH];
};

/* Flows by the time of their last datagram: their ends, and a flow's neighbours. */
struct Ages {
  u32 oldest, newest;
};
struct Link {
  u32 older, newer;
};

struct Port {
  struct Record what;
  struct Ages ages;
  u32 flows;
  u32 next; /* in its hash list, or of free ones */
  int fd;
  u32 used; /* 0 free, 1 used, 2 to be removed */
};
struct Conn {
  int fd[2]; /* client, container */
  u32 port, next;
  u8 used, connected, ended[2], gone[2], listed;
};
struct Flow {
  u8 client[28], local[20];
  int fd;
  u32 port, next;
  struct Link age[2]; /* among all, and among those of its port */
  u64 last;
  u8 used;
};
struct Address {
  u16 family;
  u8 rest[26];
};
struct Vector {
  void *base;
  u64 length;
};
struct Header {
  void *name;
  u32 nameLength;
  struct Vector *vector;
  u64 vectors;
  void *control;
  u64 controlLength;
  u32 flags;
};
struct Event {
  u32 events;
  u64 data;
} PACKED;

typedef long (*Call)(long number, ...);

struct All {
  Call call;
  int epoll, spare;
  u32 version, controls, seen, retired, room;
  u32 ports, portsTop, portsFree;
  u32 conns, connsTop, connsFree, connsDead;
  u32 flows, flowsTop, flowsFree, seed[2];
  struct Ages ages;
  u64 now, patience;
  u32 run[CONNS];
  u32 runs;
  u32 portHeads[HEADS], flowHeads[HEADS];
  struct Port port[PORTS];
  struct Conn conn[CONNS];
  struct Flow flow[FLOWS];
  struct Message in, out;
  u8 buffer[BUFFER];
  u8 control[512];
};

/* Kinds of what epoll tells of. */
#define K_DOOR 0
#define K_CONTROL 1
#define K_PORT 2
#define K_CONN 3
#define K_FLOW 4
#define TAG(kind, index, side) ((u64)(kind) << 56 | (u64)(side) << 48 | (u64)(index))

static void copy(u8 *to, const u8 *from, u32 count)
{
  u32 i;
  for (i = 0; i < count; i++) to[i] = from[i];
}

static int same(const u8 *a, const u8 *b, u32 count)
{
  u32 i;
  for (i = 0; i < count; i++)
    if (a[i] != b[i]) return 0;
  return 1;
}

static u32 mix(const u8 *bytes, u32 count, u32 value)
{
  u32 i;
  for (i = 0; i < count; i++) value = (value ^ bytes[i]) * 16777619u;
  return value;
}

static u32 hash(const u8 *bytes, u32 count)
{
  u32 value = mix(bytes, count, 2166136261u);
  return (value ^ value >> 16) & (HEADS - 1);
}

static void watch(struct All *s, int fd, u64 tag, u32 events)
{
  struct Event event;
  event.events = events;
  event.data = tag;
  s->call(NR_EPOLL_CTL, s->epoll, 1, fd, &event, 0, 0);
}

static void option(struct All *s, int fd, int level, int name, int value)
{
  s->call(NR_SETSOCKOPT, fd, level, name, &value, 4, 0);
}

static u32 addressOf(struct Address *to, const u8 *address, u8 family, u16 port)
{
  u32 i;
  for (i = 0; i < 26; i++) to->rest[i] = 0;
  to->family = family == 4 ? AF_INET : AF_INET6;
  to->rest[0] = port >> 8;
  to->rest[1] = port & 255;
  copy(to->rest + (family == 4 ? 2 : 6), address, family == 4 ? 4 : 16);
  return family == 4 ? 16 : 28;
}

/* How many descriptors there may be; asked again with each message, as it can be changed from outside. */
static void measure(struct All *s)
{
  u64 limit[2];
  u32 all = 1024;
  if (s->call(NR_PRLIMIT64, 0, 7, 0, limit, 0, 0) == 0) all = limit[0] > 1u << 24 ? 1u << 24 : limit[0];
  s->room = all > 2 * RESERVE ? all - RESERVE : all / 2;
}

/* How many descriptors connections (three quarters) and flows (one) may have: what ports have not, and never a last quarter, which is kept for ports. */
static u32 carriers(struct All *s)
{
  u32 ports = s->ports > s->room / 4 ? s->ports : s->room / 4;
  return s->room > ports ? s->room - ports : 0;
}

/* ---- connections ---- */

/* Ends both sides; with `reset` whoever is left learns that it was not in order. Its place is used again after this round of events. */
static void endConn(struct All *s, u32 index, int reset)
{
  struct Conn *c = &s->conn[index];
  struct Vector linger;
  int side;
  if (c->used != 1) return;
  linger.base = (void *)1; /* l_onoff 1, l_linger 0 */
  for (side = 0; side < 2; side++) {
    if (reset) s->call(NR_SETSOCKOPT, c->fd[side], 1, 13, &linger, 8, 0);
    s->call(NR_CLOSE, c->fd[side], 0, 0, 0, 0, 0);
  }
  c->used = 2;
  c->next = s->connsDead;
  s->connsDead = index;
  s->conns--;
}

static void buryConns(struct All *s)
{
  while (s->connsDead != NONE) {
    u32 index = s->connsDead;
    s->connsDead = s->conn[index].next;
    s->conn[index].used = 0;
    s->conn[index].next = s->connsFree;
    s->connsFree = index;
  }
}

/* Carries what one side sent to the other: 0 for now there is no more to do, 1 there may be, -1 it broke. */
static int carry(struct All *s, struct Conn *c, int side)
{
  int from = c->fd[side], to = c->fd[1 - side], turn;
  if (c->ended[side]) return 0;
  for (turn = 0; turn < TURN; turn++) {
    long sent, there = s->call(NR_RECVFROM, from, s->buffer, BUFFER, MSG_PEEK | MSG_DONTWAIT, 0, 0);
    if (there == -EAGAIN) return 0;
    if (there == -EINTR) continue;
    if (there < 0) return -1;
    if (there == 0) {
      c->ended[side] = 1;
      option(s, from, TCP, 4, 60); /* KEEPIDLE: whether it is there at all, as it says nothing any more */
      s->call(NR_SHUTDOWN, to, 1, 0, 0, 0, 0);
      return 0;
    }
    sent = s->call(NR_SENDTO, to, s->buffer, there, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
    if (sent == -EAGAIN) return 0;
    if (sent == -EINTR) continue;
    if (sent < 0) return -1;
    s->call(NR_RECVFROM, from, 0, sent, MSG_TRUNC | MSG_DONTWAIT, 0, 0);
  }
  return 1;
}

/* Ends a connection one side of which had sent its end and is not there any more: the other has everything, and what it says now is for nobody. */
static void endSilent(struct All *s, u32 index)
{
  int turn, other = s->conn[index].ended[0] && s->conn[index].gone[0];
  /* What is not read when it is closed would become a reset, which overtakes what was sent. */
  for (turn = 0; turn < TURN; turn++)
    if (s->call(NR_RECVFROM, s->conn[index].fd[other], 0, 1 << 24, MSG_TRUNC | MSG_DONTWAIT, 0, 0) <= 0) break;
  endConn(s, index, 0);
}

static void carryBoth(struct All *s, u32 index)
{
  struct Conn *c = &s->conn[index];
  int there, back;
  c->listed = 0;
  if (c->used != 1 || !c->connected) return;
  there = carry(s, c, 0);
  back = there < 0 ? -1 : carry(s, c, 1);
  if (there < 0 || back < 0) endConn(s, index, 1);
  else if (c->ended[0] && c->ended[1]) endConn(s, index, 0);
  else if ((c->ended[0] && c->gone[0]) || (c->ended[1] && c->gone[1])) endSilent(s, index);
  else if (there + back > 0) {
    c->listed = 1;
    s->run[s->runs++] = index;
  }
}

static void connEvent(struct All *s, u32 index, int side, u32 events)
{
  struct Conn *c = &s->conn[index];
  if (c->used != 1) return;
  if (side == 1 && !c->connected) {
    int error = 0, length = 4;
    if (!(events & (POLLOUT | POLLERR | POLLHUP))) return;
    s->call(NR_GETSOCKOPT, c->fd[1], 1, 4, &error, &length, 0);
    if (error) {
      endConn(s, index, 1);
      return;
    }
    c->connected = 1;
  }
  if (events & (POLLERR | POLLHUP)) c->gone[side] = 1;
  if (!c->listed) carryBoth(s, index);
}

static void newConn(struct All *s, u32 port, int client)
{
  struct Record *what = &s->port[port].what;
  struct Address address;
  struct Conn *c;
  u32 index, length = addressOf(&address, what->target, what->targetFamily, what->targetPort);
  int fits = 2 * s->conns + 2 <= carriers(s) - carriers(s) / 4;
  int fd = what->targetFamily && fits ? s->call(NR_SOCKET, address.family, STREAM | SOCK_FLAGS, TCP, 0, 0, 0) : -1;
  long result = fd < 0 ? fd : s->call(NR_CONNECT, fd, &address, length, 0, 0, 0);
  if ((result < 0 && result != -EINPROGRESS) || (s->connsFree == NONE && s->connsTop == CONNS)) {
    struct Vector linger;
    linger.base = (void *)1;
    s->call(NR_SETSOCKOPT, client, 1, 13, &linger, 8, 0);
    s->call(NR_CLOSE, client, 0, 0, 0, 0, 0);
    if (fd >= 0) s->call(NR_CLOSE, fd, 0, 0, 0, 0, 0);
    return;
  }
  if (s->connsFree != NONE) {
    index = s->connsFree;
    s->connsFree = s->conn[index].next;
  } else index = s->connsTop++;
  c = &s->conn[index];
  c->fd[0] = client;
  c->fd[1] = fd;
  c->port = port;
  c->used = 1;
  c->connected = c->ended[0] = c->ended[1] = c->gone[0] = c->gone[1] = c->listed = 0;
  s->conns++;
  option(s, client, TCP, 1, 1); /* NODELAY */
  option(s, fd, TCP, 1, 1);
  option(s, client, 1, 9, 1); /* KEEPALIVE */
  option(s, fd, 1, 9, 1);
  watch(s, client, TAG(K_CONN, index, 0), POLLIN | POLLOUT | POLLRDHUP | POLLET);
  watch(s, fd, TAG(K_CONN, index, 1), POLLIN | POLLOUT | POLLRDHUP | POLLET);
}

static void acceptAt(struct All *s, u32 port)
{
  int turn;
  for (turn = 0; turn < BATCH; turn++) {
    long fd = s->call(NR_ACCEPT4, s->port[port].fd, 0, 0, SOCK_FLAGS, 0, 0);
    if (fd == -EMFILE || fd == -ENFILE) {
      /* No descriptor is left: the caller is told so at once instead of waiting for ever. */
      s->call(NR_CLOSE, s->spare, 0, 0, 0, 0, 0);
      fd = s->call(NR_ACCEPT4, s->port[port].fd, 0, 0, SOCK_FLAGS, 0, 0);
      if (fd >= 0) s->call(NR_CLOSE, fd, 0, 0, 0, 0, 0);
      s->spare = s->call(NR_DUP, 0, 0, 0, 0, 0, 0);
      return;
    }
    if (fd < 0) return;
    newConn(s, port, fd);
  }
}

/* ---- datagrams ---- */

static struct Ages *agesOf(struct All *s, struct Flow *f, int which)
{
  return which ? &s->port[f->port].ages : &s->ages;
}

static void unlinkAge(struct All *s, struct Flow *f)
{
  int which;
  for (which = 0; which < 2; which++) {
    struct Ages *ages = agesOf(s, f, which);
    struct Link *link = &f->age[which];
    if (link->older == NONE) ages->oldest = link->newer;
    else s->flow[link->older].age[which].newer = link->newer;
    if (link->newer == NONE) ages->newest = link->older;
    else s->flow[link->newer].age[which].older = link->older;
  }
}

static void touch(struct All *s, u32 index, int fresh)
{
  struct Flow *f = &s->flow[index];
  int which;
  f->last = s->now;
  if (!fresh) unlinkAge(s, f);
  for (which = 0; which < 2; which++) {
    struct Ages *ages = agesOf(s, f, which);
    f->age[which].older = ages->newest;
    f->age[which].newer = NONE;
    if (ages->newest == NONE) ages->oldest = index;
    else s->flow[ages->newest].age[which].newer = index;
    ages->newest = index;
  }
}

/* Senders choose their addresses, but not in which list they come. */
static u32 flowHead(struct All *s, struct Flow *f)
{
  u32 value = mix(f->client, 28, mix(f->local, 20, s->seed[0] ^ f->port));
  return ((value ^ value >> 16) * (s->seed[1] | 1)) >> 20;
}

static void endFlow(struct All *s, u32 index)
{
  struct Flow *f = &s->flow[index];
  u32 *at = &s->flowHeads[flowHead(s, f)];
  if (!f->used) return;
  while (*at != index) at = &s->flow[*at].next;
  *at = f->next;
  unlinkAge(s, f);
  s->call(NR_CLOSE, f->fd, 0, 0, 0, 0, 0);
  f->used = 0;
  f->next = s->flowsFree;
  s->flowsFree = index;
  s->flows--;
  s->port[f->port].flows--;
}

static void expire(struct All *s)
{
  while (s->ages.oldest != NONE && s->flow[s->ages.oldest].last + s->patience <= s->now) endFlow(s, s->ages.oldest);
}

/* Makes room for another flow of a port, or answers 0. When there are many, a port that has a quarter of all ends its own, so that nobody ends those of others by asking a lot. */
static int makeRoom(struct All *s, struct Port *p)
{
  u32 most = carriers(s) / 4;
  if (most > FLOWS - 1) most = FLOWS - 1;
  if (s->flows >= most - most / 4 && p->flows >= most / 4 && p->ages.oldest != NONE) endFlow(s, p->ages.oldest);
  else if (s->flows >= most && s->ages.oldest != NONE) endFlow(s, s->ages.oldest);
  return s->flows < most;
}

/* The flow of a sender to an address of ours, in the place `FLOWS - 1` that is never used; made when there is none. */
static u32 findFlow(struct All *s, u32 port)
{
  struct Flow *f, *wanted = &s->flow[FLOWS - 1];
  struct Record *what = &s->port[port].what;
  struct Address address;
  u32 index, length, head;
  int fd;
  wanted->port = port;
  head = flowHead(s, wanted);
  for (index = s->flowHeads[head]; index != NONE; index = s->flow[index].next) {
    f = &s->flow[index];
    if (f->port == port && same(f->client, wanted->client, 28) && same(f->local, wanted->local, 20)) return index;
  }
  if (!makeRoom(s, &s->port[port])) return NONE;
  length = addressOf(&address, what->target, what->targetFamily, what->targetPort);
  fd = s->call(NR_SOCKET, address.family, DGRAM | SOCK_FLAGS, UDP, 0, 0, 0);
  if (fd < 0) return NONE;
  if (s->call(NR_CONNECT, fd, &address, length, 0, 0, 0) < 0) {
    s->call(NR_CLOSE, fd, 0, 0, 0, 0, 0);
    return NONE;
  }
  if (s->flowsFree != NONE) {
    index = s->flowsFree;
    s->flowsFree = s->flow[index].next;
  } else index = s->flowsTop++;
  f = &s->flow[index];
  copy(f->client, wanted->client, 28);
  copy(f->local, wanted->local, 20);
  f->fd = fd;
  f->port = port;
  f->used = 1;
  f->next = s->flowHeads[head];
  s->flowHeads[head] = index;
  s->flows++;
  s->port[port].flows++;
  touch(s, index, 1);
  watch(s, fd, TAG(K_FLOW, index, 0), POLLIN);
  return index;
}

static void headerOf(struct All *s, struct Header *header, struct Vector *vector, void *name, u32 nameLength)
{
  vector->base = s->buffer;
  vector->length = BUFFER;
  header->name = name;
  header->nameLength = nameLength;
  header->vector = vector;
  header->vectors = 1;
  header->control = s->control;
  header->controlLength = 128;
  header->flags = 0;
}

/* Datagrams of clients: to the container, by a socket for each of them. */
static void takeDatagrams(struct All *s, u32 port)
{
  struct Flow *wanted = &s->flow[FLOWS - 1];
  struct Header header;
  struct Vector vector;
  int turn;
  for (turn = 0; turn < BATCH; turn++) {
    long count;
    u32 i, index;
    for (i = 0; i < 28; i++) wanted->client[i] = 0;
    for (i = 0; i < 20; i++) wanted->local[i] = 0;
    headerOf(s, &header, &vector, wanted->client, 28);
    count = s->call(NR_RECVMSG, s->port[port].fd, &header, MSG_DONTWAIT, 0, 0, 0);
    if (count < 0) return;
    if (header.controlLength >= 28) {
      int level = *(int *)(s->control + 8), type = *(int *)(s->control + 12);
      /* Where an answer may come from: the address that was asked, or the host's own where that was a broadcast. */
      if (level == 0 && type == 8) copy(wanted->local, s->control + 20, 4);
      if (level == 41 && type == 50 && s->control[16] != 0xff) {
        copy(wanted->local, s->control + 16, 16);
        if (wanted->local[0] == 0xfe && (wanted->local[1] & 0xc0) == 0x80) copy(wanted->local + 16, s->control + 32, 4);
      }
    }
    if (!s->port[port].what.targetFamily) continue;
    index = findFlow(s, port);
    if (index == NONE) continue;
    touch(s, index, 0);
    s->call(NR_SENDTO, s->flow[index].fd, s->buffer, count, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0);
  }
}

/* Datagrams of a container: back to the client, from the address that it had sent to. */
static void answerDatagrams(struct All *s, u32 index)
{
  struct Flow *f = &s->flow[index];
  struct Header header;
  struct Vector vector;
  int turn;
  if (!f->used) return;
  for (turn = 0; turn < BATCH; turn++) {
    long count = s->call(NR_RECVFROM, f->fd, s->buffer, BUFFER, MSG_DONTWAIT, 0, 0);
    int six = s->port[f->port].what.family == 6;
    u32 i;
    if (count == -EAGAIN || count == -EINTR) return;
    if (count < 0) continue;
    headerOf(s, &header, &vector, f->client, six ? 28 : 16);
    vector.length = count;
    for (i = 0; i < 40; i++) s->control[i] = 0;
    header.controlLength = six ? 40 : 32;
    *(u64 *)s->control = six ? 36 : 28;
    *(int *)(s->control + 8) = six ? 41 : 0;
    *(int *)(s->control + 12) = six ? 50 : 8;
    copy(s->control + (six ? 16 : 20), f->local, six ? 20 : 4);
    s->call(NR_SENDMSG, s->port[f->port].fd, &header, MSG_DONTWAIT | MSG_NOSIGNAL, 0, 0, 0);
    touch(s, index, 0);
  }
}

/* ---- ports ---- */

static u32 findPort(struct All *s, struct Record *what)
{
  u32 index = s->portHeads[hash((u8 *)what, 20)];
  while (index != NONE && !same((u8 *)&s->port[index].what, (u8 *)what, 20)) index = s->port[index].next;
  return index;
}

/* Packets that came by another link than the loopback device never reach the socket (linux/filter.h: SKF_AD_IFINDEX), or do again. */
static void judgeLink(struct All *s, int fd, u32 local)
{
  u32 program[8];
  struct Vector all;
  program[0] = 0x20; /* load the word */
  program[1] = 0xfffff008u;
  program[2] = 0x15 | 1u << 24; /* is it 1? else skip one */
  program[3] = 1;
  program[4] = program[6] = 0x06; /* end, with so many bytes */
  program[5] = 0xffffffffu;
  program[7] = 0;
  all.base = (void *)4;
  all.length = (u64)program;
  if (local) s->call(NR_SETSOCKOPT, fd, 1, 26, &all, 16, 0);
  else option(s, fd, 1, 27, 0);
}

/* Connections that came before anybody judged: from this host itself they are sent from the address that they are sent to. */
static void dropStrangers(struct All *s, struct Port *p, u32 port)
{
  struct Address peer, own;
  u32 offset = p->what.family == 4 ? 2 : 6, size = p->what.family == 4 ? 4 : 16;
  for (;;) {
    u32 length = 28, ownLength = 28;
    long fd = s->call(NR_ACCEPT4, p->fd, &peer, &length, SOCK_FLAGS, 0, 0);
    if (fd < 0) return;
    if (s->call(NR_GETSOCKNAME, fd, &own, &ownLength, 0, 0, 0) == 0 && same(peer.rest + offset, own.rest + offset, size)) newConn(s, port, fd);
    else s->call(NR_CLOSE, fd, 0, 0, 0, 0, 0);
  }
}

/* Of datagrams that came before nobody can say from where. */
static void dropDatagrams(struct All *s, int fd)
{
  while (s->call(NR_RECVFROM, fd, 0, 0, MSG_DONTWAIT, 0, 0) >= 0)
    ;
}

static void endFlows(struct All *s, u32 port)
{
  while (s->port[port].ages.oldest != NONE) endFlow(s, s->port[port].ages.oldest);
}

/* Takes a port with its socket, or answers 0; one that is there already only leads elsewhere from now on. */
static int addPort(struct All *s, struct Record *what, int fd)
{
  u32 head, index = findPort(s, what);
  struct Port *p;
  if (index != NONE) {
    p = &s->port[index];
    if (what->protocol == UDP) endFlows(s, index);
    p->what.targetFamily = what->targetFamily;
    p->what.targetPort = what->targetPort;
    copy(p->what.target, what->target, 16);
    if (p->what.local != what->local) judgeLink(s, p->fd, what->local);
    if (what->local > p->what.local && what->protocol == UDP) dropDatagrams(s, p->fd);
    p->what.local = what->local;
    if (fd >= 0) s->call(NR_CLOSE, fd, 0, 0, 0, 0, 0);
    return 1;
  }
  if (fd < 0) return 0;
  if ((s->portsFree == NONE && s->portsTop == PORTS) || s->ports >= s->room) {
    s->call(NR_CLOSE, fd, 0, 0, 0, 0, 0);
    return 0;
  }
  if (s->portsFree != NONE) {
    index = s->portsFree;
    s->portsFree = s->port[index].next;
  } else index = s->portsTop++;
  head = hash((u8 *)what, 20);
  p = &s->port[index];
  copy((u8 *)&p->what, (u8 *)what, sizeof(struct Record));
  p->fd = fd;
  p->used = 1;
  p->ages.oldest = p->ages.newest = NONE;
  p->flows = 0;
  p->next = s->portHeads[head];
  s->portHeads[head] = index;
  s->ports++;
  s->call(NR_FCNTL, fd, 4, 04002, 0, 0, 0); /* F_SETFL O_NONBLOCK | O_RDWR */
  if (what->local) judgeLink(s, fd, 1);
  if (what->local && what->protocol == TCP) dropStrangers(s, p, index);
  if (what->local && what->protocol == UDP) dropDatagrams(s, fd);
  if (what->protocol == UDP) {
    if (what->family == 4) option(s, fd, 0, 8, 1);
    else option(s, fd, 41, 49, 1);
  } else if (what->protocol == TCP) s->call(NR_LISTEN, fd, 4096, 0, 0, 0, 0);
  if (what->protocol == UDP || what->protocol == TCP) watch(s, fd, TAG(K_PORT, index, 0), POLLIN);
  return 1;
}

/* Ends the marked ports and, unless they are to go on, what goes through them. */
static void endPorts(struct All *s, int keep)
{
  u32 index;
  for (index = 0; index < s->connsTop && !keep; index++)
    if (s->conn[index].used == 1 && s->port[s->conn[index].port].used == 2) endConn(s, index, 1);
  for (index = 0; index < s->portsTop; index++) {
    struct Port *p = &s->port[index];
    u32 *at = &s->portHeads[hash((u8 *)&p->what, 20)];
    if (p->used != 2) continue;
    endFlows(s, index);
    while (*at != index) at = &s->port[*at].next;
    *at = p->next;
    s->call(NR_CLOSE, p->fd, 0, 0, 0, 0, 0);
    p->used = 0;
    p->next = s->portsFree;
    s->portsFree = index;
    s->ports--;
  }
}

/* Whether clients wait at a port: connections that came while it only was held. */
static void portEvent(struct All *s, u32 index)
{
  struct Port *p = &s->port[index];
  if (p->used != 1) return;
  if (p->what.protocol == UDP) takeDatagrams(s, index);
  else acceptAt(s, index);
}

/* ---- the daemon ---- */

static void answer(struct All *s, int fd, u32 count)
{
  struct Message *out = &s->out;
  out->op = s->in.op;
  out->count = count;
  out->version = s->version;
  out->pid = s->call(NR_GETPID, 0, 0, 0, 0, 0, 0);
  out->ports = s->ports;
  out->connections = s->conns;
  s->call(NR_SENDTO, fd, out, 24 + count * sizeof(struct Record), MSG_NOSIGNAL, 0, 0);
}

/* One message of ports from a place on; each says the place after its own, as the next question asks from there. More at once would not fit into the socket. */
static void list(struct All *s, int fd, u32 index)
{
  u32 count = 0;
  for (; index < s->portsTop && count < BATCH; index++) {
    if (s->port[index].used != 1) continue;
    copy((u8 *)&s->out.records[count], (u8 *)&s->port[index].what, sizeof(struct Record));
    s->out.records[count++].place = index + 1;
  }
  answer(s, fd, count);
}

/* One message; descriptors that come with it belong to those of its records that say so, in their order. Those that could not be taken are answered. */
static void control(struct All *s, int fd)
{
  struct Header header;
  struct Vector vector;
  int *sockets = (int *)(s->control + 16);
  u32 index, given = 0, taken = 0, refused = 0;
  long count;
  headerOf(s, &header, &vector, 0, 0);
  vector.base = &s->in;
  vector.length = sizeof(struct Message);
  header.controlLength = 512;
  count = s->call(NR_RECVMSG, fd, &header, MSG_DONTWAIT | MSG_CMSG_CLOEXEC, 0, 0, 0);
  if (count == -EAGAIN || count == -EINTR) return;
  if (count > 0 && header.controlLength >= 20 && *(int *)(s->control + 12) == 1) given = (*(u64 *)s->control - 16) / 4;
  if (count < 24 || s->in.count > BATCH || (u64)count < 24 + s->in.count * sizeof(struct Record)) {
    while (taken < given) s->call(NR_CLOSE, sockets[taken++], 0, 0, 0, 0, 0);
    s->call(NR_CLOSE, fd, 0, 0, 0, 0, 0);
    s->controls--;
    return;
  }
  measure(s);
  for (index = 0; index < s->in.count; index++) {
    struct Record *what = &s->in.records[index];
    if (s->in.op == OP_ADD && !addPort(s, what, what->hasSocket && taken < given ? sockets[taken++] : -1) && what->hasSocket)
      copy((u8 *)&s->out.records[refused++], (u8 *)what, sizeof(struct Record));
    if (s->in.op == OP_REMOVE) {
      u32 found = findPort(s, what);
      if (found != NONE) s->port[found].used = 2;
    }
  }
  while (taken < given) s->call(NR_CLOSE, sockets[taken++], 0, 0, 0, 0, 0);
  if (s->in.op == OP_RETIRE) {
    s->retired = 1;
    for (index = 0; index < s->portsTop; index++)
      if (s->port[index].used == 1) s->port[index].used = 2;
  }
  if (s->in.op == OP_REMOVE || s->in.op == OP_RETIRE) endPorts(s, s->retired);
  if (s->in.op == OP_LIST) list(s, fd, s->in.version);
  else answer(s, fd, refused);
}

static void handle(struct All *s, u64 tag, u32 events)
{
  u32 kind = tag >> 56, index = (u32)tag;
  if (kind == K_CONN) connEvent(s, index, (tag >> 48) & 1, events);
  else if (kind == K_FLOW) answerDatagrams(s, index);
  else if (kind == K_PORT) portEvent(s, index);
  else if (kind == K_CONTROL) control(s, index);
  else {
    long fd = s->call(NR_ACCEPT4, 0, 0, 0, SOCK_FLAGS, 0, 0);
    if (fd < 0) return;
    s->controls++;
    s->seen = 1;
    watch(s, fd, TAG(K_CONTROL, fd, 0), POLLIN);
  }
}

static void runWaiting(struct All *s)
{
  u32 index, count = s->runs;
  s->runs = 0;
  for (index = 0; index < count; index++) carryBoth(s, s->run[index]);
}

static long timeout(struct All *s)
{
  u64 until;
  if (s->runs > 0) return 0;
  if (!s->seen) return 10000;
  if (s->ages.oldest == NONE) return -1;
  until = s->flow[s->ages.oldest].last + s->patience;
  return until > s->now ? until - s->now : 0;
}

static void tick(struct All *s)
{
  u64 time[2];
  s->call(NR_CLOCK_GETTIME, 1, time, 0, 0, 0, 0);
  s->now = time[0] * 1000 + time[1] / 1000000;
}

static void serve(struct All *s)
{
  struct Event events[BATCH];
  for (;;) {
    long index, count = s->call(NR_EPOLL_PWAIT, s->epoll, events, BATCH, timeout(s), 0, 8);
    tick(s);
    if (count == 0 && !s->seen) return; /* Nobody came. */
    for (index = 0; index < count; index++) handle(s, events[index].data, events[index].events);
    if (s->runs > 0) runWaiting(s);
    buryConns(s);
    expire(s);
    if (s->seen && s->controls == 0 && s->ports == 0 && (s->conns == 0 || !s->retired)) return;
  }
}

static u64 number(const char *text)
{
  u64 value = 0;
  while (*text >= '0' && *text <= '9') value = value * 10 + (*text++ - '0');
  return value;
}

/* Arguments: its name, the version that it answers, and how long datagrams' flows are kept, in ms. Descriptor 0 is the unix socket that listens. */
void lighter_main(long *stack, Call call)
{
  struct All *s;
  u64 limit[2], name[2];
  u32 index;
  char **argv = (char **)(stack + 1);
  if (call(NR_CLONE, 17, 0, 0, 0, 0, 0) != 0) call(NR_EXIT, 0, 0, 0, 0, 0, 0); /* Nobody's child: whoever started it may go. */
  s = (struct All *)call(NR_MMAP, 0, sizeof(struct All), 3, 0x4022, -1, 0); /* PRIVATE, ANONYMOUS, NORESERVE */
  if ((long)s < 0 && (long)s > -4096) call(NR_EXIT, 1, 0, 0, 0, 0, 0);
  s->call = call;
  s->version = stack[0] > 1 ? number(argv[1]) : 0;
  s->patience = stack[0] > 2 ? number(argv[2]) : 90000;
  s->portsFree = s->connsFree = s->connsDead = s->flowsFree = s->ages.oldest = s->ages.newest = NONE;
  for (index = 0; index < HEADS; index++) s->portHeads[index] = s->flowHeads[index] = NONE;
  call(NR_GETRANDOM, s->seed, 8, 0, 0, 0, 0);
  name[0] = 0x2d7265746867696cul; /* "lighter-ports" */
  name[1] = 0x7374726f70ul;
  call(NR_PRCTL, 15, name, 0, 0, 0, 0);
  if (call(NR_PRLIMIT64, 0, 7, 0, limit, 0, 0) == 0) {
    limit[0] = limit[1];
    call(NR_PRLIMIT64, 0, 7, limit, 0, 0, 0);
  }
  s->epoll = call(NR_EPOLL_CREATE1, 02000000, 0, 0, 0, 0, 0);
  s->spare = call(NR_DUP, 0, 0, 0, 0, 0, 0);
  tick(s);
  watch(s, 0, TAG(K_DOOR, 0, 0), POLLIN);
  serve(s);
  call(NR_EXIT, 0, 0, 0, 0, 0, 0);
}
