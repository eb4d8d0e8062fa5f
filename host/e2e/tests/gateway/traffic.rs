//! Programs that people use, through the policy `home`.

use std::time::Duration;

use anyhow::{Context, ensure};
use evergate_e2e::tools;
use evergate_e2e::wait::LIMIT;
use evergate_e2e::world::{World, at, until_listening};
use evergate_e2e::{streams, world};
use evergate_lab::{Host, Process};

crate::claims![
    a_page_of_50_mb_arrives_byte_for_byte,
    iperf3_over_tcp_runs_both_ways,
    iperf3_over_udp_loses_next_to_nothing,
    pings_are_answered,
    bulk_tcp_passes_as_super_packets,
];

const PAGE: usize = 50_000_000;

/// A web server with one page `/page`; it ends with the handle.
pub(crate) fn nginx(world: &World, host: &Host, page: &[u8]) -> anyhow::Result<Process> {
    let root = world.place.path("www");
    std::fs::create_dir_all(&root)?;
    std::fs::write(root.join("page"), page)?;
    let place = world.place.path("");
    let text = format!(
        "daemon off; master_process off; pid {0}/nginx.pid; error_log {0}/nginx.log;\n\
         user root root;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off; client_body_temp_path {0}/t1; proxy_temp_path {0}/t2;\n\
         fastcgi_temp_path {0}/t3; uwsgi_temp_path {0}/t4; scgi_temp_path {0}/t5;\n\
         server {{ listen 80; listen [::]:80; root {1}; sendfile on; }} }}\n",
        place.display(),
        root.display()
    );
    let (config, log) = (world.place.write("nginx.conf", &text)?, world.place.path("nginx.log"));
    let utf8 = |path: &std::path::Path| path.to_str().map(str::to_owned).context("not UTF-8");
    let server = tools::start(host, &["nginx", "-e", &utf8(&log)?, "-c", &utf8(&config)?])?;
    until_listening(host, 80).with_context(|| std::fs::read_to_string(&log).unwrap_or_default())?;
    Ok(server)
}

/// The page that `curl` gets on a host.
pub(crate) fn curl(world: &World, host: &Host, from: std::net::IpAddr) -> anyhow::Result<Vec<u8>> {
    let file = world.place.path("page");
    let target = file.to_str().context("a path in UTF-8")?;
    let url = match from {
        std::net::IpAddr::V4(v4) => format!("http://{v4}/page"),
        std::net::IpAddr::V6(v6) => format!("http://[{v6}]/page"),
    };
    let words = ["curl", "-g", "-sS", "--fail", "--max-time", "20", "-o", target, &url];
    tools::must(host, &words, Duration::from_secs(25))?;
    let bytes = std::fs::read(&file)?;
    std::fs::remove_file(&file)?;
    Ok(bytes)
}

fn a_page_of_50_mb_arrives_byte_for_byte() -> anyhow::Result<()> {
    let world = World::home("")?;
    let page = streams::beginning(PAGE);
    let _nginx = nginx(&world, &world.net.server, &page)?;
    for server in at::SERVER {
        let got = curl(&world, &world.net.client, server)?;
        ensure!(got == page, "{server}: {} bytes that are not the page", got.len());
    }
    let passed = world.info()?.passed_bytes;
    ensure!(passed.v4 > PAGE as u64 && passed.v6 > PAGE as u64, "{passed:?} went around it");
    Ok(())
}

/// Runs an iperf3 client against a server that runs already; returns its report's `end`.
fn iperf3(
    client: &Host,
    server: std::net::IpAddr,
    more: &[&str],
) -> anyhow::Result<serde_json::Value> {
    let server = server.to_string();
    let words = [&["iperf3", "-J", "-c", &server, "--connect-timeout", "3000"], more].concat();
    let report = tools::must(client, &words, Duration::from_secs(30))?;
    let mut report: serde_json::Value = serde_json::from_str(&report)?;
    ensure!(report["error"].is_null(), "iperf3 {more:?}: {}", report["error"]);
    Ok(report["end"].take())
}

fn iperf3_over_tcp_runs_both_ways() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = tools::start(&world.net.server, &["iperf3", "-s"])?;
    until_listening(&world.net.server, 5201)?;
    for server in at::SERVER {
        for direction in [&["-n", "64M"][..], &["-n", "64M", "-R"]] {
            let end = iperf3(&world.net.client, server, direction)?;
            let bytes = end["sum_received"]["bytes"].as_u64().unwrap_or(0);
            // Its receiver does not wait for what is still under way at the end.
            ensure!(bytes >= 48 << 20, "{server} {direction:?}: {bytes} bytes in {end}");
        }
    }
    let passed = world.info()?.passed_bytes;
    ensure!(passed.v4 > 96 << 20 && passed.v6 > 96 << 20, "{passed:?} went around it");
    Ok(())
}

fn iperf3_over_udp_loses_next_to_nothing() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = tools::start(&world.net.server, &["iperf3", "-s"])?;
    until_listening(&world.net.server, 5201)?;
    for server in at::SERVER {
        for more in [&["-u", "-b", "20M", "-t", "1"][..], &["-u", "-b", "20M", "-t", "1", "-R"]] {
            let end = iperf3(&world.net.client, server, more)?;
            let packets = end["sum"]["packets"].as_u64().unwrap_or(0);
            let lost = end["sum"]["lost_percent"].as_f64().unwrap_or(100.0);
            // A busy machine may lose some; a gateway that does not know the way back loses all.
            ensure!(packets > 1_000 && lost < 10.0, "{server} {more:?}: {lost} % of {packets}");
        }
    }
    Ok(())
}

fn pings_are_answered() -> anyhow::Result<()> {
    let world = World::home("")?;
    for server in at::SERVER {
        let server = server.to_string();
        let words = ["ping", "-n", "-c", "5", "-i", "0.05", "-W", "2", &server];
        let said = tools::must(&world.net.client, &words, LIMIT)?;
        ensure!(said.contains("5 received, 0% packet loss"), "{said}");
    }
    let states = world.states(world::filter_of_proto(1))?;
    ensure!(states.len() == 1 && states[0].packets == [5, 5], "{states:?}");
    Ok(())
}

fn bulk_tcp_passes_as_super_packets() -> anyhow::Result<()> {
    let world = World::home("")?;
    let _server = streams::Server::download(&world.net.server, 80)?;
    for server in at::SERVER {
        let before = world.interface("wan")?;
        streams::Download::start(&world.net.client, server, 80, 200 << 20)?.finish()?;
        let after = world.interface("wan")?;
        let packets = after.passed_packets - before.passed_packets;
        let bytes = after.passed_bytes - before.passed_bytes;
        let average = bytes / packets.max(1);
        ensure!(average > 10_000, "{server}: {average} bytes a packet on the average");
    }
    let info = world.info()?;
    ensure!(info.write_errors == 0, "{} frames were not taken back", info.write_errors);
    Ok(())
}
