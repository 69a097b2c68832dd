//! Safe wrappers of the DPDK parts that Pinhole uses: Eal, Port, Mempool, Mbuf.
