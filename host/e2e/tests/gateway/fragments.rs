//! Datagrams larger than the links.

use anyhow::ensure;
use evergate_e2e::streams::{self, Server};
use evergate_e2e::tools;
use evergate_e2e::wait::LIMIT;
use evergate_e2e::world::{World, at};

crate::claims![
    pings_of_8000_bytes_are_reassembled_and_answered,
    udp_of_20_kb_comes_back,
    fragments_do_not_reach_a_closed_port,
];

fn pings_of_8000_bytes_are_reassembled_and_answered() -> anyhow::Result<()> {
    let world = World::home("")?;
    for server in at::SERVER {
        let before = world.info()?;
        let target = server.to_string();
        let words = ["ping", "-n", "-s", "8000", "-c", "3", "-i", "0.05", "-W", "2", &target];
        let said = tools::must(&world.net.client, &words, LIMIT)?;
        ensure!(said.contains("3 received, 0% packet loss"), "{said}");
        let after = world.info()?;
        // 8008 bytes and a header take six packets of 1500 bytes; three there, three back.
        let fragments = after.fragments - before.fragments;
        let reassembled = after.reassembled - before.reassembled;
        ensure!((fragments, reassembled) == (36, 6), "{server}: {fragments}, {reassembled}");
    }
    Ok(())
}

fn udp_of_20_kb_comes_back() -> anyhow::Result<()> {
    let world = World::home("udp_in = [5000]")?;
    let pairs = [
        (&world.net.client, &world.net.server, at::SERVER),
        (&world.net.server, &world.net.client, at::CLIENT),
    ];
    for (from, to, addresses) in pairs {
        let _server = Server::udp_echo(to, 5000)?;
        for address in addresses {
            let socket = streams::udp(from, address, 5000, LIMIT)?;
            let sent = streams::beginning(20_000);
            socket.send(&sent)?;
            let mut answer = vec![0; 1 << 16];
            let length = socket.recv(&mut answer)?;
            ensure!(answer[..length] == sent, "{address}: {length} bytes, or others");
        }
    }
    Ok(())
}

/// No port can be told from a later fragment: it must share the fate of the first.
fn fragments_do_not_reach_a_closed_port() -> anyhow::Result<()> {
    let world = World::home("udp_in = [5000]")?;
    let server = Server::udp_echo(&world.net.client, 5001)?;
    for address in at::CLIENT {
        let before = world.drops("match")?;
        let patience = evergate_e2e::wait::SILENCE;
        let socket = streams::udp(&world.net.server, address, 5001, patience)?;
        socket.send(&streams::beginning(20_000))?;
        let answer = socket.recv(&mut [0; 64]);
        ensure!(answer.is_err() && server.arrived() == 0, "{address}: {answer:?}");
        ensure!(world.drops("match")? == before + 1, "the datagram counts once");
    }
    Ok(())
}
