;; A whole policy by hand: a small office that may browse, ask for names and ping.
;;
;; What passes is what inside starts: TCP to ports 80 and 443, DNS to two resolvers, pings at a
;; bounded rate, and whatever the gateway itself sends. Their answers need no rule, because a
;; policy is only asked about packets that belong to no state. Everything else is blocked: with
;; a reset or an ICMP error towards inside, silently towards outside.
;;
;; Setting: outside = "wan" (the default). The resolvers are the address table `resolvers`, which
;; the operator can change at any time.

(module
  ;; What we use of the gateway. Anything else we could import is in guest-sdk/ABI.md.
  (import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
  (import "evergate" "config_str" (func $config_str (param i32 i32 i32 i32 i32) (result i32)))
  (import "evergate" "table_match" (func $table_match (param i32 i32) (result i32)))
  (import "evergate" "meter" (func $meter (param i32 i32 i32 i32 i32) (result i32)))
  (import "evergate" "count" (func $count (param i32 i64)))
  (import "evergate" "log" (func $log (param i32 i32 i32)))

  ;; One page of memory. The layout is ours to choose:
  ;;   0x000  the request, where the gateway describes a packet
  ;;   0x040  a verdict record
  ;;   0x080  names
  ;;   0x200  room for a name out of the settings
  ;;   0x240  another verdict record
  (memory (export "memory") 1)

  ;; The verdict record for "blocked, and the sender is told": size 64, keep 0, ICMP code 13
  ;; (administratively prohibited), fields 1 (the code is set), the rest zero.
  (data (i32.const 0x40) "\40\00\00\0d\01\00")

  ;; The verdict record for "pass without a state": size 64, keep 1, the rest zero.
  (data (i32.const 0x240) "\40\00\01")

  (data (i32.const 0x80) "outside")    ;; 7 bytes
  (data (i32.const 0x88) "wan")        ;; 3
  (data (i32.const 0x90) "resolvers")  ;; 9
  (data (i32.const 0xa0) "pings")      ;; 5
  (data (i32.const 0xa8) "refused")    ;; 7
  (data (i32.const 0xb0) "the outside interface is not configured")  ;; 39

  ;; What init resolved.
  (global $outside (mut i32) (i32.const -1))
  (global $resolvers (mut i32) (i32.const -1))
  (global $pings (mut i32) (i32.const -1))
  (global $refused (mut i32) (i32.const -1))

  ;; The version symbol: it says that we speak version 1, and where the request shall be written.
  (func (export "evergate_abi_v1") (result i32)
    (i32.const 0x00))

  ;; Runs once per instance. Only here can names be resolved.
  (func (export "init") (result i32)
    (local $len i32)
    ;; The name of the outside interface: the setting, or "wan".
    (local.set $len
      (call $config_str
        (i32.const 0x80) (i32.const 7) (i32.const 0) (i32.const 0x200) (i32.const 64)))
    (if (i32.eq (local.get $len) (i32.const -1))
      (then
        (memory.copy (i32.const 0x200) (i32.const 0x88) (i32.const 3))
        (local.set $len (i32.const 3))))
    (global.set $outside
      (call $resolve (i32.const 5) (i32.const 0x200) (local.get $len)))
    (if (i32.lt_s (global.get $outside) (i32.const 0))
      (then
        ;; The last line logged before a refusal becomes part of the gateway's error message.
        (call $log (i32.const 0) (i32.const 0xb0) (i32.const 39))
        (return (i32.const 1))))
    ;; -1 if there is no such table: then no name can be asked for.
    (global.set $resolvers (call $resolve (i32.const 0) (i32.const 0x90) (i32.const 9)))
    (global.set $pings (call $resolve (i32.const 2) (i32.const 0xa0) (i32.const 5)))
    (global.set $refused (call $resolve (i32.const 1) (i32.const 0xa8) (i32.const 7)))
    (i32.or
      (i32.lt_s (global.get $pings) (i32.const 0))
      (i32.lt_s (global.get $refused) (i32.const 0))))

  ;; A verdict word: action in bits 0-7, flags in 8-15, rule in 16-31, record's address in 32-63.
  (func $word (param $action i32) (param $flags i32) (param $rule i32) (param $record i32)
    (result i64)
    (i64.or
      (i64.extend_i32_u
        (i32.or
          (i32.or (local.get $action) (i32.shl (local.get $flags) (i32.const 8)))
          (i32.shl (local.get $rule) (i32.const 16))))
      (i64.shl (i64.extend_i32_u (local.get $record)) (i64.const 32))))

  (func $pass (param $rule i32) (result i64)
    (call $word (i32.const 1) (i32.const 0) (local.get $rule) (i32.const 0)))

  ;; Blocks a packet from inside, logs it and tells its sender: TCP by a reset, IPv4 by
  ;; "administratively prohibited", IPv6 by the default, port unreachable.
  (func $refuse (param $rule i32) (result i64)
    (call $count (global.get $refused) (i64.const 1))
    (if (i32.eq (i32.load8_u (i32.const 0x03)) (i32.const 6))
      (then (return (call $word (i32.const 3) (i32.const 1) (local.get $rule) (i32.const 0)))))
    (call $word (i32.const 4) (i32.const 1) (local.get $rule)
      (select (i32.const 0x40) (i32.const 0)
        (i32.eq (i32.load8_u (i32.const 0x02)) (i32.const 4)))))

  ;; The decision. The request is where the version symbol said, so the address is not needed.
  (func (export "decide") (param i32) (result i64)
    (local $proto i32)
    (local $dport i32)
    (local.set $proto (i32.load8_u (i32.const 0x03)))
    (local.set $dport (i32.load16_u (i32.const 0x2a)))

    ;; 1: the gateway itself (direction 2) may send what it likes.
    (if (i32.eq (i32.load8_u (i32.const 0x04)) (i32.const 2))
      (then (return (call $pass (i32.const 1)))))

    ;; 2: ICMPv6 neighbour discovery, types 133 to 136 with hop limit 255, to the gateway. Without
    ;; it IPv6 does not work. It makes no state: the record at 0x240 says keep 1 (none).
    (if (i32.and
          (i32.and
            (i32.eq (local.get $proto) (i32.const 58))
            (i32.eq (i32.load8_u (i32.const 0x04)) (i32.const 1)))
          (i32.and
            (i32.eq (i32.load8_u (i32.const 0x34)) (i32.const 255))
            (i32.lt_u
              (i32.sub (i32.load8_u (i32.const 0x06)) (i32.const 133))
              (i32.const 4))))
      (then (return (call $word (i32.const 1) (i32.const 0) (i32.const 2) (i32.const 0x240)))))

    ;; 3: from outside, or from an interface that the gateway does not know: silence.
    (if (i32.or
          (i32.eq (i32.load16_u (i32.const 0x2c)) (global.get $outside))
          (i32.eq (i32.load16_u (i32.const 0x2c)) (i32.const 0xffff)))
      (then (return (call $word (i32.const 2) (i32.const 1) (i32.const 3) (i32.const 0)))))

    ;; 4: the web.
    (if (i32.and
          (i32.eq (local.get $proto) (i32.const 6))
          (i32.or
            (i32.eq (local.get $dport) (i32.const 80))
            (i32.eq (local.get $dport) (i32.const 443))))
      (then (return (call $pass (i32.const 4)))))

    ;; 5: names, over UDP or TCP, from a resolver of the table.
    (if (i32.eq (local.get $dport) (i32.const 53))
      (then
        (if (i32.or
              (i32.eq (local.get $proto) (i32.const 17))
              (i32.eq (local.get $proto) (i32.const 6)))
          (then
            (if (i32.ge_s (global.get $resolvers) (i32.const 0))
              (then
                (if (call $table_match (global.get $resolvers) (i32.const 0x18))
                  (then (return (call $pass (i32.const 5)))))))))))

    ;; 6: pings, ICMP type 8 or ICMPv6 type 128: five a second for each source (the key is the
    ;; 16-byte source address at 0x08), ten at once.
    (if (i32.or
          (i32.and
            (i32.eq (local.get $proto) (i32.const 1))
            (i32.eq (i32.load8_u (i32.const 0x06)) (i32.const 8)))
          (i32.and
            (i32.eq (local.get $proto) (i32.const 58))
            (i32.eq (i32.load8_u (i32.const 0x06)) (i32.const 128))))
      (then
        (if (call $meter
              (global.get $pings) (i32.const 0x08) (i32.const 16)
              (i32.const 5000) (i32.const 10))
          (then (return (call $pass (i32.const 6)))))))

    ;; 7: everything else.
    (call $refuse (i32.const 7)))
)
