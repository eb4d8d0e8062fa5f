;; port-list: lets connections to listed ports pass, and leaves the rest to the next policy.
;;
;;   setting   default  meaning
;;   tcp       none     TCP ports and ranges: [22, 443, "6000-6010"]
;;   udp       none     UDP ports and ranges
;;   label     none     label of the states that are made
;;
;;   rule 1: a TCP port of the list    rule 2: a UDP port of the list
;;
;; Memory: 0 request, 64 verdict record, 128 keys, 160 messages, 512 a text, 1024 the ranges of
;; TCP and 1280 those of UDP: 64 times first and last port, 2 bytes each.
(module
  (import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
  (import "evergate" "config_int" (func $config_int (param i32 i32 i32) (result i64)))
  (import "evergate" "config_str" (func $config_str (param i32 i32 i32 i32 i32) (result i32)))
  (import "evergate" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)

  (data (i32.const 64) "\40\00")  ;; the record's size; the label goes to 72
  (data (i32.const 128) "tcpudplabel")
  ;; The key goes to the three dots.
  (data (i32.const 160) "setting `...`: a port is 1 to 65535")                        ;; 35
  (data (i32.const 200) "setting `...` has more than 64 entries")                     ;; 38
  (data (i32.const 240) "setting `...`: this is not a port or a range like 80-90")    ;; 55
  (data (i32.const 300) "setting `...` has a text that is too long")                  ;; 41

  (global $tcp (mut i32) (i32.const 0))    ;; how many ranges
  (global $udp (mut i32) (i32.const 0))
  (global $label (mut i32) (i32.const 0))
  (global $at (mut i32) (i32.const 0))     ;; where $port reads

  (func (export "evergate_abi_v1") (result i32) (i32.const 0))

  ;; Says what is wrong with a setting; returns -1.
  (func $bad (param $key i32) (param $message i32) (param $length i32) (result i32)
    (memory.copy (i32.add (local.get $message) (i32.const 9)) (local.get $key) (i32.const 3))
    (call $log (i32.const 0) (local.get $message) (local.get $length))
    (i32.const -1))

  (func $skip_blanks
    (loop $next
      (if (i32.eq (i32.load8_u (global.get $at)) (i32.const 32)) (then
        (global.set $at (i32.add (global.get $at) (i32.const 1)))
        (br $next)))))

  ;; Reads a port from the text at $at; 0 if there is none.
  (func $port (result i32)
    (local $n i32) (local $digit i32)
    (call $skip_blanks)
    (loop $next
      (local.set $digit (i32.sub (i32.load8_u (global.get $at)) (i32.const 48)))
      (if (i32.lt_u (local.get $digit) (i32.const 10)) (then
        (local.set $n (i32.add (i32.mul (local.get $n) (i32.const 10)) (local.get $digit)))
        (if (i32.gt_u (local.get $n) (i32.const 65535)) (then (return (i32.const 0))))
        (global.set $at (i32.add (global.get $at) (i32.const 1)))
        (br $next))))
    (call $skip_blanks)
    (local.get $n))

  ;; Reads a setting into ranges; returns how many, or -1.
  (func $ports (param $key i32) (param $ranges i32) (result i32)
    (local $index i32) (local $n i64) (local $length i32) (local $first i32) (local $last i32)
    (loop $next
      (local.set $n (call $config_int (local.get $key) (i32.const 3) (local.get $index)))
      (if (i64.ne (local.get $n) (i64.const 0x8000000000000000)) (then
        (if (i64.ge_u (i64.sub (local.get $n) (i64.const 1)) (i64.const 65535)) (then
          (return (call $bad (local.get $key) (i32.const 160) (i32.const 35)))))
        (local.set $first (i32.wrap_i64 (local.get $n)))
        (local.set $last (local.get $first)))
      (else
        (local.set $length
          (call $config_str (local.get $key) (i32.const 3) (local.get $index)
            (i32.const 512) (i32.const 112)))
        (if (i32.lt_s (local.get $length) (i32.const 0)) (then
          (return (local.get $index))))
        (if (i32.gt_s (local.get $length) (i32.const 112)) (then
          (return (call $bad (local.get $key) (i32.const 300) (i32.const 41)))))
        (i32.store8 offset=512 (local.get $length) (i32.const 0))
        (global.set $at (i32.const 512))
        (local.set $first (call $port))
        (local.set $last (local.get $first))
        (if (i32.eq (i32.load8_u (global.get $at)) (i32.const 45)) (then  ;; a minus sign
          (global.set $at (i32.add (global.get $at) (i32.const 1)))
          (local.set $last (call $port))))
        (if (i32.or
              (i32.load8_u (global.get $at))
              (i32.or
                (i32.eqz (local.get $first))
                (i32.gt_u (local.get $first) (local.get $last)))) (then
          (return (call $bad (local.get $key) (i32.const 240) (i32.const 55)))))))
      (if (i32.eq (local.get $index) (i32.const 64)) (then
        (return (call $bad (local.get $key) (i32.const 200) (i32.const 38)))))
      (i32.store16 (local.get $ranges) (local.get $first))
      (i32.store16 offset=2 (local.get $ranges) (local.get $last))
      (local.set $ranges (i32.add (local.get $ranges) (i32.const 4)))
      (local.set $index (i32.add (local.get $index) (i32.const 1)))
      (br $next))
    (unreachable))

  (func (export "init") (result i32)
    (local $length i32)
    (local.set $length
      (call $config_str (i32.const 134) (i32.const 5) (i32.const 0)
        (i32.const 512) (i32.const 112)))
    (if (i32.le_u (local.get $length) (i32.const 112)) (then
      (global.set $label (call $resolve (i32.const 4) (i32.const 512) (local.get $length)))
      (if (i32.lt_s (global.get $label) (i32.const 0)) (then
        (global.set $label (i32.const 0))))
      (i32.store16 (i32.const 72) (global.get $label))))
    (global.set $tcp (call $ports (i32.const 128) (i32.const 1024)))
    (if (i32.lt_s (global.get $tcp) (i32.const 0)) (then (return (i32.const 1))))
    (global.set $udp (call $ports (i32.const 131) (i32.const 1280)))
    (i32.lt_s (global.get $udp) (i32.const 0)))

  ;; Whether the destination port is in one of the ranges.
  (func $has_port (param $ranges i32) (param $count i32) (result i32)
    (local $port i32)
    (local.set $port (i32.load16_u (i32.const 42)))
    (loop $next
      (if (i32.eqz (local.get $count)) (then (return (i32.const 0))))
      (if (i32.and
            (i32.ge_u (local.get $port) (i32.load16_u (local.get $ranges)))
            (i32.le_u (local.get $port) (i32.load16_u offset=2 (local.get $ranges)))) (then
        (return (i32.const 1))))
      (local.set $ranges (i32.add (local.get $ranges) (i32.const 4)))
      (local.set $count (i32.sub (local.get $count) (i32.const 1)))
      (br $next))
    (unreachable))

  ;; The verdict word of "pass" by this rule, with the record if there is a label.
  (func $pass (param $rule i64) (result i64)
    (i64.or
      (i64.or (i64.const 1) (i64.shl (local.get $rule) (i64.const 16)))
      (select
        (i64.const 0x4000000000)  ;; 64 << 32
        (i64.const 0)
        (global.get $label))))

  (func (export "decide") (param i32) (result i64)
    (local $proto i32)
    (local.set $proto (i32.load8_u (i32.const 3)))
    (if (i32.eq (local.get $proto) (i32.const 6)) (then
      (if (call $has_port (i32.const 1024) (global.get $tcp)) (then
        (return (call $pass (i64.const 1)))))))
    (if (i32.eq (local.get $proto) (i32.const 17)) (then
      (if (call $has_port (i32.const 1280) (global.get $udp)) (then
        (return (call $pass (i64.const 2)))))))
    (i64.const 0)))
