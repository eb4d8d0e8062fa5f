//! The life of states: shown, limited, killed, timed out.

use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

use anyhow::ensure;
use evergate::control::{Request, StateFilter, StateRow};
use evergate_e2e::streams::{self, Server, connect_and_echo, echoes, ensure_blocked};
use evergate_e2e::wait::{LIMIT, SILENCE, until};
use evergate_e2e::world::{World, at, builtin};

crate::claims![
    a_connection_is_shown_with_its_ends_and_goes_after_its_end,
    a_killed_state_passes_nothing_more,
    a_kill_that_selects_nothing_kills_nothing,
    at_the_limit_new_connections_are_refused_and_old_ones_go_on,
    a_udp_state_lives_as_long_as_its_timeout_says,
];

fn a_connection_is_shown_with_its_ends_and_goes_after_its_end() -> anyhow::Result<()> {
    let mut world = World::new()?;
    let timeouts = "[timeouts]\ntcp.finwait = \"1s\"\ntcp.closed = \"1s\"\ninterval = \"1s\"\n";
    world.start("", &builtin("home", "", timeouts))?;
    let _server = Server::echo(&world.net.server, 80)?;
    for (client, server) in at::CLIENT.into_iter().zip(at::SERVER) {
        let stream = connect_and_echo(&world.net.client, server, 80)?;
        let states = world.states_of_port(80)?;
        ensure!(states.len() == 1, "{states:?}");
        let state = &states[0];
        let ends = (state.source, state.source_port, state.destination, state.destination_port);
        ensure!(ends == (client, stream.local_addr()?.port(), server, 80), "{state:?}");
        ensure!(state.proto == "tcp" && state.peers == "ESTABLISHED:ESTABLISHED", "{state:?}");
        ensure!((&*state.ingress, &*state.egress) == ("lan", "wan"), "{state:?}");
        ensure!(state.policy == "home" && state.rule == 2, "{state:?}");
        ensure!(state.packets.iter().all(|&n| n >= 2), "{state:?}");
        ensure!((80_000..=86_400).contains(&state.expires_s), "{state:?}");

        drop(stream);
        let closing = || Ok(world.states_of_port(80)?.iter().all(|s| s.expires_s <= 1));
        until("the state knows that the connection is over", closing)?;
        until("the state goes", || Ok(world.states_of_port(80)?.is_empty()))?;
    }
    let info = world.info()?;
    ensure!((info.states, info.inserts, info.removals) == (0, 2, 2), "{info:?}");
    Ok(())
}

fn kill(world: &World, filter: StateFilter) -> anyhow::Result<u64> {
    Ok(world.ask(&Request::KillStates { filter })?.as_u64().unwrap_or(u64::MAX))
}

fn port_of(stream: &TcpStream) -> anyhow::Result<StateFilter> {
    Ok(StateFilter { port: Some(stream.local_addr()?.port()), ..StateFilter::default() })
}

fn a_killed_state_passes_nothing_more() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = Server::echo(&world.net.server, 80)?;
    for to in at::SERVER {
        let mut killed = connect_and_echo(&world.net.client, to, 80)?;
        let mut other = connect_and_echo(&world.net.client, to, 80)?;
        let before = world.drops("state-mismatch")?;
        let filter = StateFilter { proto: Some(6), ..port_of(&killed)? };
        ensure!(kill(&world, filter)? == 1, "one state was to be killed");
        ensure!(!echoes(&mut killed, b"anyone?", SILENCE)?, "it passes still");
        ensure!(world.drops("state-mismatch")? > before, "dropped for another reason");
        ensure!(echoes(&mut other, b"still there", LIMIT)?, "another one was killed, too");
    }
    Ok(())
}

fn a_kill_that_selects_nothing_kills_nothing() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = Server::echo(&world.net.server, 80)?;
    let mut stream = connect_and_echo(&world.net.client, at::SERVER[0], 80)?;
    let host = |text: &str| text.parse().ok();
    for filter in [
        StateFilter { port: Some(81), ..StateFilter::default() },
        StateFilter { proto: Some(17), ..port_of(&stream)? },
        StateFilter { host: host("10.9.0.0/16"), ..StateFilter::default() },
        StateFilter { source: host("10.0.2.2/32"), ..StateFilter::default() },
        StateFilter { interface: Some("dmz".to_owned()), ..StateFilter::default() },
        StateFilter { label: Some("none".to_owned()), ..StateFilter::default() },
        StateFilter { policy: Some("none".to_owned()), ..StateFilter::default() },
    ] {
        ensure!(kill(&world, filter.clone())? == 0, "{filter:?}");
    }
    ensure!(echoes(&mut stream, b"still there", LIMIT)?, "the connection is dead");
    let source = StateFilter { source: host("10.0.1.0/24"), ..StateFilter::default() };
    ensure!(kill(&world, source)? == 1, "the filter that does select it");
    Ok(())
}

fn at_the_limit_new_connections_are_refused_and_old_ones_go_on() -> anyhow::Result<()> {
    const LIMIT_OF_STATES: usize = 50;
    let mut world = World::new()?;
    let limits = format!("[limits]\nstates = {LIMIT_OF_STATES}\n");
    world.start("", &builtin("home", "", &limits))?;
    let _server = Server::echo(&world.net.server, 80)?;
    let mut streams = Vec::new();
    for n in 0..LIMIT_OF_STATES {
        streams.push(connect_and_echo(&world.net.client, at::SERVER[n % 2], 80)?);
    }
    for to in at::SERVER {
        let before = world.drops("state-limit")?;
        ensure_blocked(&world.net.client, to, 80, SILENCE)?;
        ensure!(world.drops("state-limit")? > before, "refused for another reason");
    }
    for stream in &mut streams {
        ensure!(echoes(stream, b"still there", LIMIT)?, "an old connection has suffered");
    }
    let info = world.info()?;
    ensure!((info.states, info.states_limit) == (50, 50), "{info:?}");
    ensure!(kill(&world, port_of(&streams[0])?)? == 1, "making room");
    connect_and_echo(&world.net.client, at::SERVER[0], 80)?;
    Ok(())
}

fn a_udp_state_lives_as_long_as_its_timeout_says() -> anyhow::Result<()> {
    let mut world = World::new()?;
    let timeouts = "[timeouts]\nudp.first = \"1s\"\nudp.single = \"1s\"\nudp.multiple = \"90s\"\n\
                    interval = \"1s\"\n";
    world.start("", &builtin("home", "", timeouts))?;
    let mut pairs = Vec::new();
    for to in at::SERVER {
        let server = world.net.server.run(|| UdpSocket::bind((to, 5000)))??;
        server.set_read_timeout(Some(LIMIT))?;
        pairs.push((server, streams::udp(&world.net.client, to, 5000, SILENCE)?));
    }
    let arrives = |pair: &(UdpSocket, UdpSocket)| -> anyhow::Result<SocketAddr> {
        pair.1.send(b"hello")?;
        Ok(pair.0.recv_from(&mut [0; 16])?.1)
    };
    let clients = pairs.iter().map(arrives).collect::<anyhow::Result<Vec<_>>>()?;
    ensure!(world.states_of_port(5000)?.len() == 2, "no states");
    until("the states go", || Ok(world.states_of_port(5000)?.is_empty()))?;
    for ((server, client), back) in pairs.iter().zip(clients) {
        server.send_to(b"late", back)?;
        ensure!(client.recv(&mut [0; 16]).is_err(), "{back}: an answer after the timeout passed");
    }
    for pair in &pairs {
        let back = arrives(pair)?;
        pair.0.send_to(b"in time", back)?;
        pair.1.set_read_timeout(Some(LIMIT))?;
        ensure!(pair.1.recv(&mut [0; 16])? == 7, "{back}: no answer in time");
        arrives(pair)?;
    }
    let ready = |states: &[StateRow]| {
        states.len() == 2 && states.iter().all(|s| s.peers == "MULTIPLE:MULTIPLE")
    };
    let states = world.states_of_port(5000)?;
    ensure!(ready(&states) && states.iter().all(|s| s.expires_s > 80), "{states:?}");
    // Longer than the timeouts that no longer count.
    std::thread::sleep(Duration::from_millis(2_300));
    let states = world.states_of_port(5000)?;
    ensure!(ready(&states), "they went too early: {states:?}");
    Ok(())
}
