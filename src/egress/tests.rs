//! The guard against the ways people have got around such guards, and against real sockets on loopback.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::Router;
use axum::http::{StatusCode, header};
use axum::routing::get;

use super::*;

fn guard(allow: &[&str]) -> Egress {
    Egress::new(allow.iter().map(|net| net.parse().unwrap()).collect())
}

#[test]
fn loopback_in_every_spelling_is_refused() {
    let hosts = [
        "127.0.0.1",
        "127.1",
        "127.0.1",
        "2130706433",
        "0x7f000001",
        "0x7f.0.0.1",
        "0x7f.1",
        "0177.0.0.1",
        "017700000001",
        "127.255.255.254",
        "127.0.0.1.",
        "0",
        "0.0.0.0",
        "0x0",
        "1",
        "%31%32%37.0.0.1",
        "127%2e0%2e0%2e1",
        "127。0。0。1",
        "①②⑦.⓪.⓪.①",
        "１２７.０.０.１",
        "127.0.0.1:8080",
        "127.0.0.1:80",
    ];
    deny_hosts(&hosts, Refused::Address);
}

#[test]
fn local_names_are_refused() {
    let hosts = [
        "localhost",
        "LOCALHOST.",
        "foo.localhost",
        "ⓛocalhost",
        "localhost.localdomain",
        "ip6-localhost",
        "metadata",
        "metadata.google.internal",
        "kubernetes.default.svc.cluster.local",
        "redis.internal",
        "printer.lan",
        "wiki.corp",
        "nas.home",
        "router.home.arpa",
        "portal.intranet",
        "x.onion",
        "1.0.0.127.in-addr.arpa",
        "redis",
        "db:8080",
        "%6cocalhost",
    ];
    deny_hosts(&hosts, Refused::LocalName);
}

#[test]
fn ipv6_is_refused_but_for_global_addresses() {
    let hosts = [
        "[::]",
        "[::1]",
        "[0:0:0:0:0:0:0:1]",
        "[::ffff:127.0.0.1]",
        "[::ffff:7f00:1]",
        "[::ffff:a9fe:a9fe]",
        "[::127.0.0.1]",
        "[::ffff:0:127.0.0.1]",
        "[64:ff9b::127.0.0.1]",
        "[64:ff9b::7f00:1]",
        "[64:ff9b:1::1]",
        "[2002:7f00:1::]",
        "[2002:a9fe:a9fe::1]",
        "[2001:0:7f00:1::]",
        "[fe80::1]",
        "[fec0::1]",
        "[fc00::1]",
        "[fd7a:115c:a1e0::1]",
        "[fd00:ec2::254]",
        "[fd20:ce::254]",
        "[ff02::1]",
        "[100::1]",
        "[5f00::1]",
        "[2001:db8::1]",
        "[3fff::1]",
        "[2001:2::1]",
        "[2001:20::1]",
        "[2620:4f:8000::1]",
        "[4000::1]",
    ];
    deny_hosts(&hosts, Refused::Address);
}

#[test]
fn metadata_services_and_special_networks_are_refused() {
    let hosts = [
        "169.254.169.254",
        "169.254.43518",
        "0xa9fea9fe",
        "2852039166",
        "0251.0376.0251.0376",
        "0xa9.254.0251.254",
        "169.254.170.2",
        "100.100.100.200",
        "192.0.0.192",
        "168.63.129.16",
        "10.0.0.1",
        "10.255.255.255",
        "100.64.0.1",
        "100.127.255.255",
        "172.16.0.1",
        "172.31.255.255",
        "192.168.0.1",
        "192.168.255.255",
        "198.18.0.1",
        "198.19.255.255",
        "224.0.0.1",
        "239.255.255.255",
        "240.0.0.1",
        "255.255.255.255",
        "192.0.2.1",
        "198.51.100.1",
        "203.0.113.1",
        "192.88.99.1",
    ];
    deny_hosts(&hosts, Refused::Address);
}

#[test]
fn texts_that_parsers_read_differently_are_refused() {
    let cases = [
        ("http://a.com@127.0.0.1/", Refused::Userinfo),
        ("http://127.0.0.1@a.com/", Refused::Userinfo),
        ("http://user:pw@a.com/", Refused::Userinfo),
        ("http://:pw@a.com/", Refused::Userinfo),
        ("http://a.com#@127.0.0.1/", Refused::Malformed),
        ("http://a.com/#part", Refused::Malformed),
        ("http://a.com\\@127.0.0.1/", Refused::Malformed),
        ("http:\\\\127.0.0.1/", Refused::Malformed),
        ("http:a.com", Refused::Malformed),
        ("http:/a.com", Refused::Malformed),
        ("http:///a.com/", Refused::Malformed),
        ("//a.com/", Refused::Malformed),
        ("/path", Refused::Malformed),
        ("a.com", Refused::Malformed),
        ("http://a.com:80:127.0.0.1/", Refused::Malformed),
        ("http://a.com:65536/", Refused::Malformed),
        (" http://a.com/", Refused::Malformed),
        ("http://a.com/ ", Refused::Malformed),
        ("http://a.com/a b", Refused::Malformed),
        ("http://a\t.com/", Refused::Malformed),
        ("ht\ntp://a.com/", Refused::Malformed),
        ("http://a.com/\r\nHost: b", Refused::Malformed),
        ("http://a.com/\0", Refused::Malformed),
        ("http://a.com/\u{a0}", Refused::Malformed),
        ("http://.../", Refused::Name),
        ("http://a..com/", Refused::Name),
        ("http://.a.com/", Refused::Name),
        ("http://-a.com/", Refused::Name),
        ("http://a-.com/", Refused::Name),
        ("http://a$.com/", Refused::Name),
        ("http://256.0.0.1/", Refused::Malformed),
        ("http://4294967296/", Refused::Malformed),
        ("http://1.2.3.4.5/", Refused::Malformed),
        ("http://08.8.8.8/", Refused::Malformed),
        ("http://[127.0.0.1]/", Refused::Malformed),
        ("http://[fe80::1%25eth0]/", Refused::Malformed),
        ("http://[::1/", Refused::Malformed),
        ("http://", Refused::Malformed),
        ("", Refused::Malformed),
    ];
    deny(&cases);
    let long = format!("http://a.com/{}", "a".repeat(URL_BYTES_MAX));
    deny(&[(&long, Refused::Malformed)]);
}

#[test]
fn ports_of_other_services_are_refused() {
    for port in
        [0, 1, 22, 25, 81, 465, 587, 1023, 2375, 2379, 3306, 5432, 5672, 6379, 9200, 10250, 11211, 27017]
    {
        deny(&[
            (&format!("http://a.com:{port}/"), Refused::Port),
            (&format!("http://8.8.8.8:{port}/"), Refused::Port),
        ]);
    }
}

#[test]
fn only_http_goes_out() {
    let cases = [
        "file:///etc/passwd",
        "gopher://a.com/_x",
        "ftp://a.com/",
        "unix:///run/redis.sock",
        "data:text/plain,x",
        "javascript:alert(1)",
        "dict://a.com:2628/",
        "ldap://a.com/",
        "jar:http://a.com!/",
        "ws://a.com/",
        "httpx://a.com/",
        "redis://a.com:6379/",
    ];
    deny(&cases.map(|text| (text, Refused::Scheme)));
}

#[test]
fn public_destinations_are_allowed() {
    let texts = [
        "https://hooks.example.com/in?token=a%20b",
        "http://example.com/",
        "https://example.com:8443/x",
        "https://example.com./",
        "https://a_b.example/",
        "https://xn--bcher-kva.example/",
        "https://bücher.example/",
        "https://127.0.0.1.nip.io/",
        "https://notlocalhost.com/",
        "http://8.8.8.8/",
        "http://1.1.1.1:8080/",
        "http://100.63.255.255/",
        "http://100.128.0.1/",
        "http://172.15.255.255/",
        "http://172.32.0.1/",
        "http://198.20.0.1/",
        "http://[2606:4700:4700::1111]/",
        "http://[2a00:1450:4001:80b::200e]:8443/",
        "http://[::ffff:8.8.8.8]/",
        "HTTPS://EXAMPLE.COM/",
        "https://example.com:443/",
    ];
    for text in texts {
        assert!(guard(&[]).parse(text).is_ok(), "{text}: {:?}", guard(&[]).parse(text));
    }
}

#[test]
fn an_allowed_network_opens_itself_and_nothing_else() {
    let guard = guard(&["127.0.0.0/8", "10.2.0.0/16"]);
    for text in
        ["http://127.0.0.1:6379/", "http://2130706433:9/", "http://[::ffff:127.0.0.1]/", "http://10.2.3.4/"]
    {
        assert!(guard.parse(text).is_ok(), "{text}");
    }
    for text in ["http://10.3.0.1/", "http://[::1]/", "http://192.168.0.1/", "http://169.254.169.254/"] {
        assert_eq!(guard.parse(text), Err(Refused::Address), "{text}");
    }
    // A local name may be one of the allowed network's; its addresses decide. No other port for it, though.
    assert!(guard.parse("http://localhost:8080/").is_ok());
    assert_eq!(guard.parse("http://localhost:6379/"), Err(Refused::Port));
}

#[test]
fn every_answer_of_dns_is_judged() {
    let admit = |allow: &[&str], host: &str, answers: &[&str]| {
        let answers: Vec<IpAddr> = answers.iter().map(|ip| ip.parse().unwrap()).collect();
        guard(allow).admit(host, &answers).map(|ips| ips.iter().map(ToString::to_string).collect::<Vec<_>>())
    };
    let ok = |ips: &[&str]| Ok(ips.iter().map(|ip| (*ip).to_owned()).collect::<Vec<_>>());
    let public = "hooks.example.com";
    assert_eq!(admit(&[], public, &["8.8.8.8", "2606:4700::1"]), ok(&["8.8.8.8", "2606:4700::1"]));
    for bad in ["127.0.0.1", "::1", "169.254.169.254", "::ffff:10.0.0.1", "10.0.0.1", "fe80::1", "0.0.0.0"] {
        assert_eq!(admit(&[], public, &[bad]), Err(Refused::Address), "{bad}");
        assert_eq!(admit(&[], public, &["8.8.8.8", bad]), Err(Refused::Address), "{bad}");
        assert_eq!(admit(&[], public, &[bad, "8.8.8.8"]), Err(Refused::Address), "{bad}");
    }
    // A DNS64 network adds translated addresses to every name; they are left out.
    assert_eq!(admit(&[], public, &["64:ff9b::808:808", "8.8.8.8"]), ok(&["8.8.8.8"]));
    assert_eq!(admit(&[], public, &["64:ff9b::7f00:1"]), Err(Refused::Address));
    assert_eq!(admit(&[], public, &[]), Err(Refused::Address));
    // Local names lead only to what is allowed.
    assert_eq!(admit(&["127.0.0.0/8"], "localhost", &["::1", "127.0.0.1"]), ok(&["127.0.0.1"]));
    assert_eq!(admit(&["127.0.0.0/8"], "metadata", &["169.254.169.254"]), Err(Refused::LocalName));
    assert_eq!(admit(&["127.0.0.0/8"], "intra", &["8.8.8.8"]), Err(Refused::LocalName));
    assert_eq!(admit(&["10.0.0.0/8"], "api.example.com", &["10.0.0.7"]), ok(&["10.0.0.7"]));
}

#[test]
fn a_refusal_names_no_address() {
    let all = [
        Refused::Malformed,
        Refused::Scheme,
        Refused::Userinfo,
        Refused::Name,
        Refused::LocalName,
        Refused::Address,
        Refused::Port,
    ];
    for refused in all {
        let text = refused.to_string();
        assert!(text.starts_with("destination not allowed"), "{text}");
        assert!(!text.contains("127.") && !text.contains("::"), "{text}");
    }
}

/// A server that counts what reaches it; `/away` redirects to `/`.
async fn server() -> (u16, Arc<AtomicUsize>) {
    let hits = Arc::new(AtomicUsize::new(0));
    let count = hits.clone();
    let hit = move || {
        count.fetch_add(1, Ordering::SeqCst);
        std::future::ready("hit")
    };
    let away = || std::future::ready((StatusCode::FOUND, [(header::LOCATION, "/")]));
    let listener = tokio::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let port = listener.local_addr().unwrap().port();
    let app = Router::new().route("/", get(hit.clone()).post(hit)).route("/away", get(away).post(away));
    tokio::spawn(async move { axum::serve(listener, app).await });
    (port, hits)
}

#[tokio::test]
async fn a_name_that_leads_to_a_refused_address_is_never_connected() {
    let (port, hits) = server().await;
    // `check` would refuse this name already; the resolver must do so on its own.
    let error =
        guard(&[]).client().unwrap().get(format!("http://localhost:{port}/")).send().await.unwrap_err();
    assert_eq!(Refused::behind(&error), Some(Refused::LocalName));
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn an_allowed_network_is_reached_by_address_and_by_name() {
    let (port, hits) = server().await;
    let guard = guard(&["127.0.0.0/8"]);
    for host in ["127.0.0.1", "localhost"] {
        let url = guard.parse(&format!("http://{host}:{port}/")).unwrap();
        assert_eq!(guard.client().unwrap().get(url).send().await.unwrap().status(), 200, "{host}");
    }
    assert_eq!(hits.load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn a_redirect_is_an_answer_and_not_followed() {
    let (port, hits) = server().await;
    let url = format!("http://127.0.0.1:{port}/away");
    let answer = guard(&["127.0.0.0/8"]).client().unwrap().post(url).send().await.unwrap();
    assert_eq!(answer.status(), 302);
    assert_eq!(hits.load(Ordering::SeqCst), 0);
}

fn deny_hosts(hosts: &[&str], why: Refused) {
    for host in hosts {
        deny(&[(&format!("http://{host}/"), why), (&format!("https://{host}/path?q=1"), why)]);
    }
}

/// Refused as text and, where it parses at all, as a URL.
fn deny(cases: &[(&str, Refused)]) {
    for (text, why) in cases {
        assert_eq!(guard(&[]).parse(text), Err(*why), "{text:?}");
        if let Ok(url) = Url::parse(text)
            && *why != Refused::Malformed
        {
            assert_eq!(guard(&[]).check(&url), Err(*why), "{text:?}");
        }
    }
}
