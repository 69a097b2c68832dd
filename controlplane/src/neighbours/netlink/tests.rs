use netlink_packet_route::neighbour::NeighbourHeader;
use netlink_packet_route::route::RouteHeader;

use super::*;

fn datagram(messages: Vec<RouteNetlinkMessage>) -> Vec<u8> {
    let mut out = Vec::new();
    for message in messages {
        let mut message = NetlinkMessage::new(NetlinkHeader::default(), NetlinkPayload::from(message));
        message.finalize();
        let mut bytes = vec![0; message.buffer_len()];
        message.serialize(&mut bytes);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        out.extend(bytes);
    }
    out
}

fn neighbour(state: NeighbourState, mac: Option<[u8; 6]>) -> NeighbourMessage {
    let mut message = NeighbourMessage::default();
    message.header =
        NeighbourHeader { family: AddressFamily::Inet, ifindex: 7, state, ..NeighbourHeader::default() };
    message.attributes.push(NeighbourAttribute::Destination(NeighbourAddress::Inet([10, 20, 0, 10].into())));
    message.attributes.extend(mac.map(|mac| NeighbourAttribute::LinkLayerAddress(mac.to_vec())));
    message
}

fn route_message(kind: RouteType, attributes: Vec<RouteAttribute>) -> RouteMessage {
    let mut message = RouteMessage::default();
    message.header = RouteHeader { address_family: AddressFamily::Inet, kind, ..RouteHeader::default() };
    message.attributes = attributes;
    message
}

const MAC: [u8; 6] = [2, 0, 0, 0, 0, 1];
const IP: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(10, 20, 0, 10));

#[test]
fn reachable_neighbour_has_a_mac_and_is_confirmed() {
    let bytes =
        datagram(vec![RouteNetlinkMessage::NewNeighbour(neighbour(NeighbourState::Reachable, Some(MAC)))]);
    let neighbour = Neighbour { mac: Some(MAC), confirmed: true };
    assert_eq!(changes(&bytes), vec![Change::Neighbour { interface: 7, ip: IP, neighbour }]);
}

#[test]
fn stale_neighbour_keeps_its_mac_but_wants_confirmation() {
    let bytes =
        datagram(vec![RouteNetlinkMessage::NewNeighbour(neighbour(NeighbourState::Stale, Some(MAC)))]);
    let neighbour = Neighbour { mac: Some(MAC), confirmed: false };
    assert_eq!(changes(&bytes), vec![Change::Neighbour { interface: 7, ip: IP, neighbour }]);
}

#[test]
fn failed_or_incomplete_neighbour_has_no_mac() {
    for state in [NeighbourState::Failed, NeighbourState::Incomplete] {
        let bytes = datagram(vec![RouteNetlinkMessage::NewNeighbour(neighbour(state, Some(MAC)))]);
        let neighbour = Neighbour { mac: None, confirmed: false };
        assert_eq!(changes(&bytes), vec![Change::Neighbour { interface: 7, ip: IP, neighbour }]);
    }
}

#[test]
fn several_messages_of_one_datagram_are_read() {
    let bytes = datagram(vec![
        RouteNetlinkMessage::DelNeighbour(neighbour(NeighbourState::Stale, None)),
        RouteNetlinkMessage::NewRoute(route_message(RouteType::Unicast, vec![])),
    ]);
    assert_eq!(changes(&bytes), vec![Change::NeighbourGone { interface: 7, ip: IP }, Change::Routes]);
}

#[test]
fn truncated_datagram_gives_nothing() {
    let bytes =
        datagram(vec![RouteNetlinkMessage::NewNeighbour(neighbour(NeighbourState::Stale, Some(MAC)))]);
    for length in 0..bytes.len() {
        assert_eq!(changes(&bytes[..length]), vec![]);
    }
}

#[test]
fn route_leads_to_the_gateway_or_to_the_destination_itself() {
    let gateway = IpAddr::from([10, 20, 0, 1]);
    let answer = |attributes| {
        datagram(vec![RouteNetlinkMessage::NewRoute(route_message(RouteType::Unicast, attributes))])
    };
    let direct = answer(vec![RouteAttribute::Oif(7)]);
    assert_eq!(route(&direct, IP, 7), Some(Route::Via(IP)));
    let by_gateway = answer(vec![RouteAttribute::Oif(7), RouteAttribute::Gateway(gateway.into())]);
    assert_eq!(route(&by_gateway, IP, 7), Some(Route::Via(gateway)));
    assert_eq!(route(&by_gateway, IP, 8), None, "another interface is no route for this port");
}

#[test]
fn our_own_address_is_no_next_hop() {
    let local = datagram(vec![RouteNetlinkMessage::NewRoute(route_message(
        RouteType::Local,
        vec![RouteAttribute::Oif(1)],
    ))]);
    assert_eq!(route(&local, IP, 7), Some(Route::Local));
}

#[test]
fn kernel_answers_on_loopback() {
    let questions = Questions::new().unwrap();
    questions.neighbours().unwrap();
    let route = questions.route(IpAddr::from([127, 0, 0, 1]), 1).unwrap();
    assert!(matches!(route, Some(Route::Local) | None), "{route:?}");
}
