//! What can be wrong with a packet: decode and stream events, by the names Suricata gives them.
//!
//! Rules test them (`decode-event:ipv4.trunc_pkt`, `stream-event:rst_but_no_session`), EVE's `anomaly` prints them.

/// An event: an index into [`DecodeEvent::NAMES`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DecodeEvent(pub u16);

macro_rules! events {
    ($($constant:ident = $name:literal,)*) => {
        impl DecodeEvent {
            /// Every name, in the order of the numbers.
            pub const NAMES: &'static [&'static str] = &[$($name),*];
        }
        #[allow(non_camel_case_types, clippy::upper_case_acronyms, dead_code)]
        enum Number { $($constant),* }
        #[allow(missing_docs)]
        impl DecodeEvent {
            $(pub const $constant: Self = Self(Number::$constant as u16);)*
        }
    };
}

events! {
    AFPACKET_TRUNC_PKT = "decoder.afpacket.trunc_pkt",
    IPV4_PKT_TOO_SMALL = "decoder.ipv4.pkt_too_small",
    IPV4_HLEN_TOO_SMALL = "decoder.ipv4.hlen_too_small",
    IPV4_IPLEN_SMALLER_THAN_HLEN = "decoder.ipv4.iplen_smaller_than_hlen",
    IPV4_TRUNC_PKT = "decoder.ipv4.trunc_pkt",
    IPV4_OPT_INVALID = "decoder.ipv4.opt_invalid",
    IPV4_OPT_INVALID_LEN = "decoder.ipv4.opt_invalid_len",
    IPV4_OPT_MALFORMED = "decoder.ipv4.opt_malformed",
    IPV4_OPT_PAD_REQUIRED = "decoder.ipv4.opt_pad_required",
    IPV4_OPT_EOL_REQUIRED = "decoder.ipv4.opt_eol_required",
    IPV4_OPT_DUPLICATE = "decoder.ipv4.opt_duplicate",
    IPV4_OPT_UNKNOWN = "decoder.ipv4.opt_unknown",
    IPV4_WRONG_IP_VERSION = "decoder.ipv4.wrong_ip_version",
    IPV4_ICMPV6 = "decoder.ipv4.icmpv6",
    IPV4_UNKNOWN_PROTOCOL = "decoder.ipv4.unknown_protocol",
    ICMPV4_PKT_TOO_SMALL = "decoder.icmpv4.pkt_too_small",
    ICMPV4_UNKNOWN_TYPE = "decoder.icmpv4.unknown_type",
    ICMPV4_UNKNOWN_CODE = "decoder.icmpv4.unknown_code",
    ICMPV4_IPV4_TRUNC_PKT = "decoder.icmpv4.ipv4_trunc_pkt",
    ICMPV4_IPV4_UNKNOWN_VER = "decoder.icmpv4.ipv4_unknown_ver",
    ICMPV6_UNKNOWN_TYPE = "decoder.icmpv6.unknown_type",
    ICMPV6_UNKNOWN_CODE = "decoder.icmpv6.unknown_code",
    ICMPV6_PKT_TOO_SMALL = "decoder.icmpv6.pkt_too_small",
    ICMPV6_IPV6_UNKNOWN_VERSION = "decoder.icmpv6.ipv6_unknown_version",
    ICMPV6_IPV6_TRUNC_PKT = "decoder.icmpv6.ipv6_trunc_pkt",
    ICMPV6_MLD_MESSAGE_WITH_INVALID_HL = "decoder.icmpv6.mld_message_with_invalid_hl",
    ICMPV6_UNASSIGNED_TYPE = "decoder.icmpv6.unassigned_type",
    ICMPV6_EXPERIMENTATION_TYPE = "decoder.icmpv6.experimentation_type",
    IPV6_PKT_TOO_SMALL = "decoder.ipv6.pkt_too_small",
    IPV6_TRUNC_PKT = "decoder.ipv6.trunc_pkt",
    IPV6_TRUNC_EXTHDR = "decoder.ipv6.trunc_exthdr",
    IPV6_EXTHDR_DUPL_FH = "decoder.ipv6.exthdr_dupl_fh",
    IPV6_EXTHDR_USELESS_FH = "decoder.ipv6.exthdr_useless_fh",
    IPV6_EXTHDR_DUPL_RH = "decoder.ipv6.exthdr_dupl_rh",
    IPV6_EXTHDR_DUPL_HH = "decoder.ipv6.exthdr_dupl_hh",
    IPV6_EXTHDR_DUPL_DH = "decoder.ipv6.exthdr_dupl_dh",
    IPV6_EXTHDR_DUPL_AH = "decoder.ipv6.exthdr_dupl_ah",
    IPV6_EXTHDR_DUPL_EH = "decoder.ipv6.exthdr_dupl_eh",
    IPV6_EXTHDR_INVALID_OPTLEN = "decoder.ipv6.exthdr_invalid_optlen",
    IPV6_WRONG_IP_VERSION = "decoder.ipv6.wrong_ip_version",
    IPV6_EXTHDR_AH_RES_NOT_NULL = "decoder.ipv6.exthdr_ah_res_not_null",
    IPV6_HOPOPTS_UNKNOWN_OPT = "decoder.ipv6.hopopts_unknown_opt",
    IPV6_HOPOPTS_ONLY_PADDING = "decoder.ipv6.hopopts_only_padding",
    IPV6_DSTOPTS_UNKNOWN_OPT = "decoder.ipv6.dstopts_unknown_opt",
    IPV6_DSTOPTS_ONLY_PADDING = "decoder.ipv6.dstopts_only_padding",
    IPV6_RH_TYPE_0 = "decoder.ipv6.rh_type_0",
    IPV6_ZERO_LEN_PADN = "decoder.ipv6.zero_len_padn",
    IPV6_FH_NON_ZERO_RESERVED_FIELD = "decoder.ipv6.fh_non_zero_reserved_field",
    IPV6_DATA_AFTER_NONE_HEADER = "decoder.ipv6.data_after_none_header",
    IPV6_UNKNOWN_NEXT_HEADER = "decoder.ipv6.unknown_next_header",
    IPV6_ICMPV4 = "decoder.ipv6.icmpv4",
    TCP_PKT_TOO_SMALL = "decoder.tcp.pkt_too_small",
    TCP_HLEN_TOO_SMALL = "decoder.tcp.hlen_too_small",
    TCP_INVALID_OPTLEN = "decoder.tcp.invalid_optlen",
    TCP_OPT_INVALID_LEN = "decoder.tcp.opt_invalid_len",
    TCP_OPT_DUPLICATE = "decoder.tcp.opt_duplicate",
    UDP_PKT_TOO_SMALL = "decoder.udp.pkt_too_small",
    UDP_HLEN_TOO_SMALL = "decoder.udp.hlen_too_small",
    UDP_HLEN_INVALID = "decoder.udp.hlen_invalid",
    UDP_LEN_INVALID = "decoder.udp.len_invalid",
    SLL_PKT_TOO_SMALL = "decoder.sll.pkt_too_small",
    SLL2_PKT_TOO_SMALL = "decoder.sll2.pkt_too_small",
    ETHERNET_PKT_TOO_SMALL = "decoder.ethernet.pkt_too_small",
    ETHERNET_UNKNOWN_ETHERTYPE = "decoder.ethernet.unknown_ethertype",
    PPP_PKT_TOO_SMALL = "decoder.ppp.pkt_too_small",
    PPP_VJU_PKT_TOO_SMALL = "decoder.ppp.vju_pkt_too_small",
    PPP_IP4_PKT_TOO_SMALL = "decoder.ppp.ip4_pkt_too_small",
    PPP_IP6_PKT_TOO_SMALL = "decoder.ppp.ip6_pkt_too_small",
    PPP_WRONG_TYPE = "decoder.ppp.wrong_type",
    PPP_UNSUP_PROTO = "decoder.ppp.unsup_proto",
    PPPOE_PKT_TOO_SMALL = "decoder.pppoe.pkt_too_small",
    PPPOE_WRONG_CODE = "decoder.pppoe.wrong_code",
    PPPOE_MALFORMED_TAGS = "decoder.pppoe.malformed_tags",
    GRE_PKT_TOO_SMALL = "decoder.gre.pkt_too_small",
    GRE_WRONG_VERSION = "decoder.gre.wrong_version",
    GRE_VERSION0_RECUR = "decoder.gre.version0_recur",
    GRE_VERSION0_FLAGS = "decoder.gre.version0_flags",
    GRE_VERSION0_HDR_TOO_BIG = "decoder.gre.version0_hdr_too_big",
    GRE_VERSION0_MALFORMED_SRE_HDR = "decoder.gre.version0_malformed_sre_hdr",
    GRE_VERSION1_CHKSUM = "decoder.gre.version1_chksum",
    GRE_VERSION1_ROUTE = "decoder.gre.version1_route",
    GRE_VERSION1_SSR = "decoder.gre.version1_ssr",
    GRE_VERSION1_RECUR = "decoder.gre.version1_recur",
    GRE_VERSION1_FLAGS = "decoder.gre.version1_flags",
    GRE_VERSION1_NO_KEY = "decoder.gre.version1_no_key",
    GRE_VERSION1_WRONG_PROTOCOL = "decoder.gre.version1_wrong_protocol",
    GRE_VERSION1_MALFORMED_SRE_HDR = "decoder.gre.version1_malformed_sre_hdr",
    GRE_VERSION1_HDR_TOO_BIG = "decoder.gre.version1_hdr_too_big",
    VLAN_HEADER_TOO_SMALL = "decoder.vlan.header_too_small",
    VLAN_UNKNOWN_TYPE = "decoder.vlan.unknown_type",
    VLAN_TOO_MANY_LAYERS = "decoder.vlan.too_many_layers",
    IEEE8021AH_HEADER_TOO_SMALL = "decoder.ieee8021ah.header_too_small",
    VNTAG_HEADER_TOO_SMALL = "decoder.vntag.header_too_small",
    VNTAG_UNKNOWN_TYPE = "decoder.vntag.unknown_type",
    ETAG_HEADER_TOO_SMALL = "decoder.etag.header_too_small",
    ETAG_UNKNOWN_TYPE = "decoder.etag.unknown_type",
    IPRAW_INVALID_IP_VERSION = "decoder.ipraw.invalid_ip_version",
    LTNULL_PKT_TOO_SMALL = "decoder.ltnull.pkt_too_small",
    LTNULL_UNSUPPORTED_TYPE = "decoder.ltnull.unsupported_type",
    SCTP_PKT_TOO_SMALL = "decoder.sctp.pkt_too_small",
    SCTP_CHUNK_TOO_SMALL = "decoder.sctp.chunk_too_small",
    SCTP_CHUNK_LEN_INVALID = "decoder.sctp.chunk_len_invalid",
    SCTP_INIT_CHUNK_BUNDLED = "decoder.sctp.init_chunk_bundled",
    SCTP_INIT_WITH_NON_ZERO_VTAG = "decoder.sctp.init_with_non_zero_vtag",
    SCTP_DATA_WITH_ZERO_VTAG = "decoder.sctp.data_with_zero_vtag",
    SCTP_TOO_MANY_CHUNKS = "decoder.sctp.too_many_chunks",
    SCTP_TOO_MANY_DATA_CHUNKS = "decoder.sctp.too_many_data_chunks",
    ESP_PKT_TOO_SMALL = "decoder.esp.pkt_too_small",
    IPV4_FRAG_PKT_TOO_LARGE = "decoder.ipv4.frag_pkt_too_large",
    IPV6_FRAG_PKT_TOO_LARGE = "decoder.ipv6.frag_pkt_too_large",
    IPV4_FRAG_OVERLAP = "decoder.ipv4.frag_overlap",
    IPV6_FRAG_OVERLAP = "decoder.ipv6.frag_overlap",
    IPV6_FRAG_INVALID_LENGTH = "decoder.ipv6.frag_invalid_length",
    IPV4_FRAG_IGNORED = "decoder.ipv4.frag_ignored",
    IPV6_FRAG_IGNORED = "decoder.ipv6.frag_ignored",
    IPV6_IPV4_IN_IPV6_TOO_SMALL = "decoder.ipv6.ipv4_in_ipv6_too_small",
    IPV6_IPV4_IN_IPV6_WRONG_VERSION = "decoder.ipv6.ipv4_in_ipv6_wrong_version",
    IPV6_IPV6_IN_IPV6_TOO_SMALL = "decoder.ipv6.ipv6_in_ipv6_too_small",
    IPV6_IPV6_IN_IPV6_WRONG_VERSION = "decoder.ipv6.ipv6_in_ipv6_wrong_version",
    MPLS_HEADER_TOO_SMALL = "decoder.mpls.header_too_small",
    MPLS_PKT_TOO_SMALL = "decoder.mpls.pkt_too_small",
    MPLS_BAD_LABEL_ROUTER_ALERT = "decoder.mpls.bad_label_router_alert",
    MPLS_BAD_LABEL_IMPLICIT_NULL = "decoder.mpls.bad_label_implicit_null",
    MPLS_BAD_LABEL_RESERVED = "decoder.mpls.bad_label_reserved",
    MPLS_UNKNOWN_PAYLOAD_TYPE = "decoder.mpls.unknown_payload_type",
    VXLAN_UNKNOWN_PAYLOAD_TYPE = "decoder.vxlan.unknown_payload_type",
    GENEVE_UNKNOWN_PAYLOAD_TYPE = "decoder.geneve.unknown_payload_type",
    ERSPAN_HEADER_TOO_SMALL = "decoder.erspan.header_too_small",
    ERSPAN_UNSUPPORTED_VERSION = "decoder.erspan.unsupported_version",
    ERSPAN_TOO_MANY_VLAN_LAYERS = "decoder.erspan.too_many_vlan_layers",
    DCE_PKT_TOO_SMALL = "decoder.dce.pkt_too_small",
    CHDLC_PKT_TOO_SMALL = "decoder.chdlc.pkt_too_small",
    NSH_HEADER_TOO_SMALL = "decoder.nsh.header_too_small",
    NSH_UNSUPPORTED_VERSION = "decoder.nsh.unsupported_version",
    NSH_BAD_HEADER_LENGTH = "decoder.nsh.bad_header_length",
    NSH_RESERVED_TYPE = "decoder.nsh.reserved_type",
    NSH_UNSUPPORTED_TYPE = "decoder.nsh.unsupported_type",
    NSH_UNKNOWN_PAYLOAD = "decoder.nsh.unknown_payload",
    IGMP_PKT_TOO_SMALL = "decoder.igmp.pkt_too_small",
    IGMP_V3_PKT_TOO_SMALL = "decoder.igmp.v3_pkt_too_small",
    IGMP_MALFORMED = "decoder.igmp.malformed",
    TOO_MANY_LAYERS = "decoder.too_many_layers",
    STREAM_3WHS_ACK_IN_WRONG_DIR = "stream.3whs_ack_in_wrong_dir",
    STREAM_3WHS_ASYNC_WRONG_SEQ = "stream.3whs_async_wrong_seq",
    STREAM_3WHS_RIGHT_SEQ_WRONG_ACK_EVASION = "stream.3whs_right_seq_wrong_ack_evasion",
    STREAM_3WHS_SYNACK_IN_WRONG_DIRECTION = "stream.3whs_synack_in_wrong_direction",
    STREAM_3WHS_SYNACK_RESEND_WITH_DIFF_ACK = "stream.3whs_synack_resend_with_diff_ack",
    STREAM_3WHS_SYNACK_RESEND_WITH_DIFF_SEQ = "stream.3whs_synack_resend_with_diff_seq",
    STREAM_3WHS_SYNACK_TOSERVER_ON_SYN_RECV = "stream.3whs_synack_toserver_on_syn_recv",
    STREAM_3WHS_SYNACK_WITH_WRONG_ACK = "stream.3whs_synack_with_wrong_ack",
    STREAM_3WHS_SYNACK_FLOOD = "stream.3whs_synack_flood",
    STREAM_3WHS_SYNACK_TFO_DATA_IGNORED = "stream.3whs_synack_tfo_data_ignored",
    STREAM_3WHS_SYN_RESEND_DIFF_SEQ_ON_SYN_RECV = "stream.3whs_syn_resend_diff_seq_on_syn_recv",
    STREAM_3WHS_SYN_TOCLIENT_ON_SYN_RECV = "stream.3whs_syn_toclient_on_syn_recv",
    STREAM_3WHS_SYN_FLOOD = "stream.3whs_syn_flood",
    STREAM_3WHS_WRONG_SEQ_WRONG_ACK = "stream.3whs_wrong_seq_wrong_ack",
    STREAM_3WHS_ACK_DATA_INJECT = "stream.3whs_ack_data_inject",
    STREAM_4WHS_SYNACK_WITH_WRONG_ACK = "stream.4whs_synack_with_wrong_ack",
    STREAM_4WHS_SYNACK_WITH_WRONG_SYN = "stream.4whs_synack_with_wrong_syn",
    STREAM_4WHS_WRONG_SEQ = "stream.4whs_wrong_seq",
    STREAM_4WHS_INVALID_ACK = "stream.4whs_invalid_ack",
    STREAM_CLOSEWAIT_ACK_OUT_OF_WINDOW = "stream.closewait_ack_out_of_window",
    STREAM_CLOSEWAIT_FIN_OUT_OF_WINDOW = "stream.closewait_fin_out_of_window",
    STREAM_CLOSEWAIT_PKT_BEFORE_LAST_ACK = "stream.closewait_pkt_before_last_ack",
    STREAM_CLOSEWAIT_INVALID_ACK = "stream.closewait_invalid_ack",
    STREAM_CLOSING_ACK_WRONG_SEQ = "stream.closing_ack_wrong_seq",
    STREAM_CLOSING_INVALID_ACK = "stream.closing_invalid_ack",
    STREAM_EST_PACKET_OUT_OF_WINDOW = "stream.est_packet_out_of_window",
    STREAM_EST_PKT_BEFORE_LAST_ACK = "stream.est_pkt_before_last_ack",
    STREAM_EST_SYNACK_RESEND = "stream.est_synack_resend",
    STREAM_EST_SYNACK_RESEND_WITH_DIFF_ACK = "stream.est_synack_resend_with_diff_ack",
    STREAM_EST_SYNACK_RESEND_WITH_DIFF_SEQ = "stream.est_synack_resend_with_diff_seq",
    STREAM_EST_SYNACK_TOSERVER = "stream.est_synack_toserver",
    STREAM_EST_SYN_RESEND = "stream.est_syn_resend",
    STREAM_EST_SYN_RESEND_DIFF_SEQ = "stream.est_syn_resend_diff_seq",
    STREAM_EST_SYN_TOCLIENT = "stream.est_syn_toclient",
    STREAM_EST_INVALID_ACK = "stream.est_invalid_ack",
    STREAM_EST_ACK_ZWP_DATA = "stream.est_ack_zwp_data",
    STREAM_FIN_INVALID_ACK = "stream.fin_invalid_ack",
    STREAM_FIN1_ACK_WRONG_SEQ = "stream.fin1_ack_wrong_seq",
    STREAM_FIN1_FIN_WRONG_SEQ = "stream.fin1_fin_wrong_seq",
    STREAM_FIN1_INVALID_ACK = "stream.fin1_invalid_ack",
    STREAM_FIN2_ACK_WRONG_SEQ = "stream.fin2_ack_wrong_seq",
    STREAM_FIN2_FIN_WRONG_SEQ = "stream.fin2_fin_wrong_seq",
    STREAM_FIN2_INVALID_ACK = "stream.fin2_invalid_ack",
    STREAM_FIN_BUT_NO_SESSION = "stream.fin_but_no_session",
    STREAM_FIN_OUT_OF_WINDOW = "stream.fin_out_of_window",
    STREAM_FIN_SYN = "stream.fin_syn",
    STREAM_LASTACK_ACK_WRONG_SEQ = "stream.lastack_ack_wrong_seq",
    STREAM_LASTACK_INVALID_ACK = "stream.lastack_invalid_ack",
    STREAM_RST_BUT_NO_SESSION = "stream.rst_but_no_session",
    STREAM_TIMEWAIT_ACK_WRONG_SEQ = "stream.timewait_ack_wrong_seq",
    STREAM_TIMEWAIT_INVALID_ACK = "stream.timewait_invalid_ack",
    STREAM_SHUTDOWN_SYN_RESEND = "stream.shutdown_syn_resend",
    STREAM_PKT_INVALID_TIMESTAMP = "stream.pkt_invalid_timestamp",
    STREAM_PKT_INVALID_ACK = "stream.pkt_invalid_ack",
    STREAM_PKT_BROKEN_ACK = "stream.pkt_broken_ack",
    STREAM_RST_INVALID_ACK = "stream.rst_invalid_ack",
    STREAM_RST_WITH_DATA = "stream.rst_with_data",
    STREAM_PKT_RETRANSMISSION = "stream.pkt_retransmission",
    STREAM_PKT_SPURIOUS_RETRANSMISSION = "stream.pkt_spurious_retransmission",
    STREAM_PKT_BAD_WINDOW_UPDATE = "stream.pkt_bad_window_update",
    STREAM_SUSPECTED_RST_INJECT = "stream.suspected_rst_inject",
    STREAM_WRONG_THREAD = "stream.wrong_thread",
    STREAM_REASSEMBLY_SEGMENT_BEFORE_BASE_SEQ = "stream.reassembly_segment_before_base_seq",
    STREAM_REASSEMBLY_NO_SEGMENT = "stream.reassembly_no_segment",
    STREAM_REASSEMBLY_SEQ_GAP = "stream.reassembly_seq_gap",
    STREAM_REASSEMBLY_OVERLAP_DIFFERENT_DATA = "stream.reassembly_overlap_different_data",
    STREAM_REASSEMBLY_DEPTH_REACHED = "stream.reassembly_depth_reached",
    STREAM_REASSEMBLY_INSERT_MEMCAP = "stream.reassembly_insert_memcap",
    STREAM_REASSEMBLY_INSERT_LIMIT = "stream.reassembly_insert_limit",
    STREAM_REASSEMBLY_INSERT_INVALID = "stream.reassembly_insert_invalid",
    STREAM_REASSEMBLY_URGENT_OOB_LIMIT_REACHED = "stream.reassembly_urgent_oob_limit_reached",
    ARP_PKT_TOO_SMALL = "decoder.arp.pkt_too_small",
    ARP_UNSUPPORTED_HARDWARE = "decoder.arp.unsupported_hardware",
    ARP_UNSUPPORTED_PROTOCOL = "decoder.arp.unsupported_protocol",
    ARP_INVALID_PKT = "decoder.arp.invalid_pkt",
    ARP_INVALID_HARDWARE_SIZE = "decoder.arp.invalid_hardware_size",
    ARP_INVALID_PROTOCOL_SIZE = "decoder.arp.invalid_protocol_size",
    ARP_UNSUPPORTED_OPCODE = "decoder.arp.unsupported_opcode",
    // Ours: rules may ask for them, EVE's `anomaly` does not print them.
    IPV4_FRAG_CONFLICT = "decoder.ipv4.frag_conflict",
    IPV6_FRAG_CONFLICT = "decoder.ipv6.frag_conflict",
    IPV6_FRAG_IN_FRAG = "decoder.ipv6.frag_in_frag",
}

impl DecodeEvent {
    /// `decoder.ipv4.trunc_pkt`, `stream.rst_but_no_session`.
    pub fn name(self) -> &'static str {
        Self::NAMES
            .get(self.0 as usize)
            .copied()
            .unwrap_or("unknown")
    }

    /// The event of a full name.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::NAMES
            .iter()
            .position(|n| *n == name)
            .and_then(|i| u16::try_from(i).ok())
            .map(Self)
    }

    /// Whether it is ours alone, unknown to readers of Suricata's EVE.
    pub fn is_ours(self) -> bool {
        self >= Self::IPV4_FRAG_CONFLICT
    }

    /// Whether it is the stream engine's.
    pub fn is_stream(self) -> bool {
        self.name().starts_with("stream.")
    }
}

/// Words of an [`EventSet`]: room for 320 events.
const WORDS: usize = 5;

/// A set of events. Fixed size, no allocation.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EventSet([u64; WORDS]);

impl EventSet {
    /// No event.
    pub const EMPTY: Self = Self([0; WORDS]);

    /// Adds one.
    pub fn insert(&mut self, event: DecodeEvent) {
        if let Some(word) = self.0.get_mut(usize::from(event.0 / 64)) {
            *word |= 1 << (event.0 % 64);
        }
    }

    /// Whether it holds `event`.
    pub fn contains(&self, event: DecodeEvent) -> bool {
        self.0
            .get(usize::from(event.0 / 64))
            .is_some_and(|word| word & 1 << (event.0 % 64) != 0)
    }

    /// Whether it holds none.
    pub fn is_empty(&self) -> bool {
        self.0.iter().fold(0, |all, word| all | word) == 0
    }

    /// The events, in the order of their numbers.
    pub fn iter(&self) -> impl Iterator<Item = DecodeEvent> + '_ {
        (0..(WORDS * 64) as u16)
            .map(DecodeEvent)
            .filter(|event| self.contains(*event))
    }
}

const _: () = assert!(DecodeEvent::NAMES.len() <= WORDS * 64);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_and_numbers_agree() {
        for (i, name) in DecodeEvent::NAMES.iter().enumerate() {
            assert_eq!(DecodeEvent::from_name(name).map(|e| e.0 as usize), Some(i));
        }
        let mut set = EventSet::default();
        assert!(set.is_empty());
        set.insert(DecodeEvent::IPV4_TRUNC_PKT);
        assert!(set.contains(DecodeEvent::IPV4_TRUNC_PKT));
        assert_eq!(
            set.iter().collect::<Vec<_>>(),
            [DecodeEvent::IPV4_TRUNC_PKT]
        );
    }
}
