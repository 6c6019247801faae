/* The declarations that cffi parses: a copy of the C headers' parts that Python uses. */

struct iovec { void *iov_base; size_t iov_len; };

struct netbe_vnet_hdr {
	uint8_t flags; uint8_t gso_type;
	uint16_t hdr_len; uint16_t gso_size; uint16_t csum_start; uint16_t csum_offset; uint16_t num_buffers;
};
struct netbe_frame {
	struct netbe_vnet_hdr hdr;
	uint32_t len; uint32_t nseg; uint32_t reserved;
	const struct iovec *seg;
};
struct netbe_port_stats {
	uint64_t rx_frames, rx_bytes, tx_frames, tx_bytes;
	uint64_t rx_dropped[9];
	uint64_t tx_dropped[9];
};
struct netbe_wait { int fd; short events; ...; };
struct netbe_port {
	uint32_t abi; uint32_t size; uint32_t flags; uint32_t min_frame; uint32_t max_frame;
	uint64_t features[2];
	struct netbe_wait rx_wait; struct netbe_wait tx_wait;
	struct netbe_port_stats *stats;
	...;
};

/* services.h: offloads in software */
uint16_t nb_csum(const struct iovec *seg, uint32_t nseg, uint32_t off, uint32_t len, uint32_t seed);
int nb_hdr_load(struct netbe_vnet_hdr *hdr, const void *src, uint32_t hdr_len);
int nb_hdr_store(void *dst, const struct netbe_vnet_hdr *hdr, uint32_t hdr_len);
int nb_hdr_check(const struct netbe_frame *frame);
uint64_t nb_hdr_needs(const struct netbe_vnet_hdr *hdr, const struct netbe_frame *frame);
uintptr_t nb_services_address(void);
int64_t nb_segment(const struct netbe_frame *frame, uint64_t features, uint32_t burst, void *out, size_t cap,
                   uint32_t *len, uint32_t n);

/* engine.h, fdb.h: the pump */
struct nb_engine_config {
	uint32_t nports; uint32_t nthreads; uint32_t learning; uint32_t on_full;
	uint64_t wait_ns; uint64_t spin_ns;
	uint32_t fdb_size; uint32_t vlan_filtering;
	uint64_t ageing_ns;
};
struct nb_engine;
struct nb_engine *nb_engine_new(const struct nb_engine_config *config);
void nb_engine_free(struct nb_engine *engine);
int nb_engine_add_queue(struct nb_engine *engine, uint32_t index, struct netbe_port *port);
int nb_engine_inject(struct nb_engine *engine, uint32_t index, const struct netbe_vnet_hdr *hdr, const void *frame,
                     uint32_t len);
int nb_engine_set_vlan(struct nb_engine *engine, uint32_t index, uint16_t pvid, const uint64_t *allowed);
int nb_engine_run(struct nb_engine *engine, uint32_t thread);
void nb_engine_stop(struct nb_engine *engine);
void nb_engine_detach(struct nb_engine *engine);
int nb_engine_stats(struct nb_engine *engine, uint32_t index, struct netbe_port_stats *out);
int nb_engine_port_error(struct nb_engine *engine, uint32_t index);
int nb_engine_switch_stats(struct nb_engine *engine, uint64_t *flooded, uint64_t *table_full);
struct nb_fdb *nb_engine_fdb(struct nb_engine *engine);
struct nb_fdb_entry { uint8_t mac[6]; uint16_t vid; uint32_t port; uint64_t age_ns; };
uint32_t nb_fdb_dump(struct nb_fdb *fdb, uint64_t *cursor, struct nb_fdb_entry *out, uint32_t n, uint64_t now_ns);

/* fdport.h */
struct netbe_port *nb_fd_port_new(int rx_fd, int tx_fd, uint32_t flags, uint32_t dev_hdr_len,
                                  uint32_t min_frame, uint32_t max_frame, const uint64_t *features);
void nb_fd_port_free(struct netbe_port *port);
void *nb_fd_memory(struct netbe_port *port, size_t *size);

/* ring.h */
int nb_ring_pair_new(size_t bytes, uint32_t max_frame, const uint64_t *features, struct netbe_port **a,
                     struct netbe_port **b);
void nb_ring_port_free(struct netbe_port *port);
void *nb_ring_memory(struct netbe_port *port, int rx, size_t *size);

/* memory.h */
void nb_memory_drop(void *memory);

/* io.h */
struct nb_io;
struct nb_io *nb_io_new(struct netbe_port *port);
void nb_io_free(struct nb_io *io);
int nb_io_set_cap(struct nb_io *io, uint64_t features, uint32_t hdr_len);
#define NB_IO_HELD ...
void nb_io_hold(struct nb_io *io);
void nb_io_let(struct nb_io *io);
int64_t nb_io_send(struct nb_io *io, const void *base, size_t len);
int64_t nb_io_peek(struct nb_io *io);
int64_t nb_io_recv(struct nb_io *io, void *base, size_t cap);
int64_t nb_io_recvv(struct nb_io *io, const struct iovec *iov, int iovcnt);
int64_t nb_io_discard(struct nb_io *io);
int nb_io_pending(struct nb_io *io);
int64_t nb_io_send_burst(struct nb_io *io, const void *base, size_t cap, const uint32_t *off, const uint32_t *len,
                         uint32_t n);
int64_t nb_io_recv_burst(struct nb_io *io, void *base, size_t cap, uint32_t *off, uint32_t *len, uint32_t n);
int nb_io_arm_send(struct nb_io *io);
int nb_io_reserve(struct nb_io *io, const void *base, size_t size, uint32_t len, uint32_t n, uint64_t *off);
int nb_io_commit(struct nb_io *io, const uint32_t *len, uint32_t n);
void nb_io_give_up(struct nb_io *io);
int nb_io_lend(struct nb_io *io, const void *base, size_t size, uint32_t n, uint64_t *off, uint32_t *len);
const struct netbe_frame *nb_io_lent(const struct nb_io *io, uint32_t i);
int nb_io_give_back(struct nb_io *io, uint32_t n);
int nb_io_cutting(const struct nb_io *io);
int64_t nb_io_hand_over(struct nb_io *io, void *base, size_t cap);

/* of any port */
int nb_port_adopt(struct netbe_port *port);
int nb_port_link_up(struct netbe_port *port);

/* traffic.h */
struct nb_traffic_limits { uint64_t frames, ns, spin_ns; };
struct nb_gen;
struct nb_gen *nb_gen_new(const uint8_t *macs, uint32_t size, uint16_t stream);
void nb_gen_free(struct nb_gen *gen);
int64_t nb_gen_run(struct nb_gen *gen, struct netbe_port *port, uint64_t sequence,
                   const struct nb_traffic_limits *limits);
void nb_gen_write(struct nb_gen *gen, uint64_t sequence, uint32_t n, uint32_t hdr_len, uint8_t *out);
struct nb_sink_counts {
	uint64_t frames, bytes, numbered, lost, duplicated, reordered, first_ns, last_ns;
};
struct nb_sink;
struct nb_sink *nb_sink_new(bool numbers);
void nb_sink_free(struct nb_sink *sink);
const struct nb_sink_counts *nb_sink_counts(const struct nb_sink *sink);
int64_t nb_sink_run(struct nb_sink *sink, struct netbe_port *const *ports, uint32_t nports,
                    const struct nb_traffic_limits *limits);
void nb_sink_see(struct nb_sink *sink, const uint8_t *base, const uint32_t *off, const uint32_t *len, uint32_t n,
                 uint32_t hdr_len);
