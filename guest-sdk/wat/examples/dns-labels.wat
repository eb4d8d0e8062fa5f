;; dns-labels: refuses DNS queries for names with a listed label, whatever is around it. It looks
;; into what goes to port 53, over UDP and TCP; over TCP into the first query.
;;
;;   setting   default   meaning
;;   labels    none      up to 8 labels: ["ads", "tracker"]
;;
;;   rule 1: a listed label    rule 2: not a query of one name
;;
;; Both count in "blocked" and are logged.
;;
;; Memory: 0 request, 64 verdict record, 128 payload record, 136 names, 160 messages, 512 a text,
;; 1024 the labels in small letters, 64 bytes each of which the first is the length, 2048 payload.
(module
  (import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
  (import "evergate" "config_int" (func $config_int (param i32 i32 i32) (result i64)))
  (import "evergate" "config_str" (func $config_str (param i32 i32 i32 i32 i32) (result i32)))
  (import "evergate" "count" (func $count (param i32 i64)))
  (import "evergate" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)

  (data (i32.const 64) "\40\00\00\00\01\00")  ;; the record: size 64, it has an ICMP code (at 67)
  (data (i32.const 128) "\00\08\00\00\00\04\00\00")  ;; 2048, 1024 bytes
  (data (i32.const 136) "labelsblocked")
  (data (i32.const 160) "setting `labels`: a label has 1 to 63 bytes")    ;; 43
  (data (i32.const 210) "setting `labels`: a label has no dot")           ;; 36
  (data (i32.const 260) "setting `labels` has more than 8 entries")       ;; 40
  (data (i32.const 310) "setting `labels` has to hold texts")             ;; 34

  (global $labels (mut i32) (i32.const 0))  ;; how many
  (global $blocked (mut i32) (i32.const -1))

  (func (export "evergate_abi_v1") (result i32) (i32.const 0))
  (func (export "evergate_payload_v1") (result i32) (i32.const 128))

  ;; Says why the policy does not start; returns 1.
  (func $bad (param $message i32) (param $length i32) (result i32)
    (call $log (i32.const 0) (local.get $message) (local.get $length))
    (i32.const 1))

  (func $lower (param $c i32) (result i32)
    (i32.add
      (local.get $c)
      (i32.shl
        (i32.lt_u (i32.sub (local.get $c) (i32.const 65)) (i32.const 26))
        (i32.const 5))))

  ;; Copies the text at 512 as the next label; returns 1 if it has a dot.
  (func $add (param $length i32) (result i32)
    (local $to i32) (local $i i32) (local $c i32)
    (local.set $to (i32.add (i32.const 1024) (i32.shl (global.get $labels) (i32.const 6))))
    (i32.store8 (local.get $to) (local.get $length))
    (loop $next
      (local.set $c (call $lower (i32.load8_u offset=512 (local.get $i))))
      (if (i32.eq (local.get $c) (i32.const 46)) (then (return (i32.const 1))))
      (i32.store8 offset=1 (i32.add (local.get $to) (local.get $i)) (local.get $c))
      (local.set $i (i32.add (local.get $i) (i32.const 1)))
      (br_if $next (i32.lt_u (local.get $i) (local.get $length))))
    (global.set $labels (i32.add (global.get $labels) (i32.const 1)))
    (i32.const 0))

  (func (export "init") (result i32)
    (local $length i32)
    (block $done
      (loop $next
        (local.set $length
          (call $config_str (i32.const 136) (i32.const 6) (global.get $labels)
            (i32.const 512) (i32.const 112)))
        (br_if $done (i32.lt_s (local.get $length) (i32.const 0)))
        (if (i32.ge_u (i32.sub (local.get $length) (i32.const 1)) (i32.const 63)) (then
          (return (call $bad (i32.const 160) (i32.const 43)))))
        (if (i32.eq (global.get $labels) (i32.const 8)) (then
          (return (call $bad (i32.const 260) (i32.const 40)))))
        (if (call $add (local.get $length)) (then
          (return (call $bad (i32.const 210) (i32.const 36)))))
        (br $next)))
    (if (i64.ne
          (call $config_int (i32.const 136) (i32.const 6) (global.get $labels))
          (i64.const 0x8000000000000000)) (then
      (return (call $bad (i32.const 310) (i32.const 34)))))
    (global.set $blocked (call $resolve (i32.const 1) (i32.const 142) (i32.const 7)))
    (i32.const 0))

  (func $is_tcp (result i32) (i32.eq (i32.load8_u (i32.const 3)) (i32.const 6)))

  (func (export "decide") (param i32) (result i64)
    (i64.extend_i32_u
      (select
        (i32.const 5)  ;; inspect
        (i32.const 0)
        (i32.and
          (i32.eq (i32.load16_u (i32.const 42)) (i32.const 53))
          (i32.or (call $is_tcp) (i32.eq (i32.load8_u (i32.const 3)) (i32.const 17)))))))

  ;; Whether the label at $at is in the list.
  (func $is_listed (param $at i32) (param $length i32) (result i32)
    (local $label i32) (local $end i32) (local $i i32)
    (local.set $label (i32.const 1024))
    (local.set $end (i32.add (i32.const 1024) (i32.shl (global.get $labels) (i32.const 6))))
    (loop $next
      (if (i32.ge_u (local.get $label) (local.get $end)) (then (return (i32.const 0))))
      (if (i32.eq (i32.load8_u (local.get $label)) (local.get $length)) (then
        (local.set $i (i32.const 0))
        (loop $same
          (if (i32.eq (local.get $i) (local.get $length)) (then (return (i32.const 1))))
          (if (i32.eq
                (call $lower (i32.load8_u (i32.add (local.get $at) (local.get $i))))
                (i32.load8_u offset=1 (i32.add (local.get $label) (local.get $i)))) (then
            (local.set $i (i32.add (local.get $i) (i32.const 1)))
            (br $same))))))
      (local.set $label (i32.add (local.get $label) (i32.const 64)))
      (br $next))
    (unreachable))

  ;; Looks at the query from $at to $end (RFC 1035 4.1): 0 another name, 1 a listed label, 2 not a
  ;; query of one name.
  (func $look (param $at i32) (param $end i32) (result i32)
    (local $question i32) (local $length i32) (local $found i32) (local $n i32)
    (if (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (i32.const 12)) (then
      (return (i32.const 2))))
    (if (i32.and (i32.load8_u offset=2 (local.get $at)) (i32.const 0x80)) (then  ;; a response
      (return (i32.const 2))))
    (if (i32.ne (i32.load16_u offset=4 (local.get $at)) (i32.const 0x0100)) (then
      (return (i32.const 2))))  ;; not one question
    (local.set $at (i32.add (local.get $at) (i32.const 12)))
    (local.set $question (local.get $at))
    (loop $next
      (if (i32.ge_u (local.get $at) (local.get $end)) (then (return (i32.const 2))))
      (local.set $length (i32.load8_u (local.get $at)))
      (local.set $at (i32.add (local.get $at) (i32.const 1)))
      (if (i32.eqz (local.get $length)) (then  ;; the root; type and class follow
        (return
          (select
            (local.get $found)
            (i32.const 2)
            (i32.ge_u (i32.sub (local.get $end) (local.get $at)) (i32.const 4))))))
      (if (i32.gt_u (local.get $length) (i32.const 63)) (then (return (i32.const 2))))
      (if (i32.lt_u (i32.sub (local.get $end) (local.get $at)) (local.get $length)) (then
        (return (i32.const 2))))
      (if (i32.eqz (local.get $found)) (then
        (local.set $found (call $is_listed (local.get $at) (local.get $length)))))
      (local.set $at (i32.add (local.get $at) (local.get $length)))
      ;; At most 40 labels, so that the work is bounded; a name of ip6.arpa has 34.
      (local.set $n (i32.add (local.get $n) (i32.const 1)))
      (br_if $next
        (i32.and
          (i32.le_u (local.get $n) (i32.const 40))
          (i32.le_u (i32.sub (local.get $at) (local.get $question)) (i32.const 254)))))
    (i32.const 2))

  (func (export "inspect") (param i32) (param $length i32) (result i64)
    (local $at i32) (local $end i32) (local $message i32) (local $found i32)
    (local.set $at (i32.const 2048))
    (local.set $end (i32.add (local.get $at) (local.get $length)))
    (if (call $is_tcp) (then
      ;; Behind its length (RFC 1035 4.2.2).
      (local.set $at (i32.const 2050))
      (local.set $message
        (i32.add
          (local.get $at)
          (i32.or
            (i32.shl (i32.load8_u (i32.const 2048)) (i32.const 8))
            (i32.load8_u (i32.const 2049)))))
      (if (i32.or
            (i32.lt_u (local.get $length) (i32.const 2))
            (i32.lt_u (local.get $end) (local.get $message))) (then
        (if (i32.eqz (i32.and (i32.load16_u (i32.const 54)) (i32.const 8))) (then
          (return (i64.const 5))))  ;; inspect: there may be more
        (local.set $message (local.get $at))))
      (local.set $end (local.get $message))))
    (local.set $found (call $look (local.get $at) (local.get $end)))
    (if (i32.eqz (local.get $found)) (then
      (return (i64.const 0x400))))  ;; continue, and decide each
    (if (i32.ge_s (global.get $blocked) (i32.const 0)) (then
      (call $count (global.get $blocked) (i64.const 1))))
    ;; "Administratively prohibited" is 13 for ICMP and 1 for ICMPv6.
    (i32.store8 (i32.const 67)
      (select (i32.const 13) (i32.const 1)
        (i32.eq (i32.load8_u (i32.const 2)) (i32.const 4))))
    (i64.or
      (i64.shl (i64.extend_i32_u (local.get $found)) (i64.const 16))  ;; the rule
      (select
        (i64.const 0x103)         ;; return-rst, log
        (i64.const 0x4000000104)  ;; return-icmp, log, record at 64
        (call $is_tcp)))))
