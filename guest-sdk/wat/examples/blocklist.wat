;; blocklist: blocks addresses of a table: countries, scanners, advertisers.
;;
;;   setting   default       meaning
;;   table     "blocklist"   the address table
;;   log       false         whether to log what is blocked
;;
;;   rule 1: from an address of the table, dropped silently
;;   rule 2: to an address of the table, refused, so that its sender sees an error
;;
;; Both count in "blocked".
;;
;; Memory: 0 request, 64 verdict record, 128 names and keys, 160 messages, the last of which ends
;; with the table's name.
(module
  (import "evergate" "resolve" (func $resolve (param i32 i32 i32) (result i32)))
  (import "evergate" "config_int" (func $config_int (param i32 i32 i32) (result i64)))
  (import "evergate" "config_str" (func $config_str (param i32 i32 i32 i32 i32) (result i32)))
  (import "evergate" "table_match" (func $table_match (param i32 i32) (result i32)))
  (import "evergate" "count" (func $count (param i32 i64)))
  (import "evergate" "log" (func $log (param i32 i32 i32)))
  (memory (export "memory") 1)

  (data (i32.const 64) "\40\00\00\00\01\00")  ;; the record: size 64, it has an ICMP code (at 67)
  (data (i32.const 128) "tablelogblocked")
  (data (i32.const 160) "setting `log` has to be true or false")                  ;; 37
  (data (i32.const 200) "setting `table` has a text that is too long")            ;; 43
  (data (i32.const 256) "setting `table`: there is no table `blocklist")          ;; the name: 292

  (global $table (mut i32) (i32.const -1))
  (global $blocked (mut i32) (i32.const -1))
  (global $log_flag (mut i64) (i64.const 0))  ;; bit 8 of the verdict word

  (func (export "evergate_abi_v1") (result i32) (i32.const 0))

  ;; Says why the policy does not start; returns 1.
  (func $bad (param $message i32) (param $length i32) (result i32)
    (call $log (i32.const 0) (local.get $message) (local.get $length))
    (i32.const 1))

  (func (export "init") (result i32)
    (local $length i32) (local $n i64)
    (local.set $length
      (call $config_str (i32.const 128) (i32.const 5) (i32.const 0)
        (i32.const 292) (i32.const 112)))
    (if (i32.gt_s (local.get $length) (i32.const 112)) (then
      (return (call $bad (i32.const 200) (i32.const 43)))))
    (if (i32.lt_s (local.get $length) (i32.const 0)) (then  ;; not set: "blocklist" is still there
      (local.set $length (i32.const 9))))
    (global.set $table (call $resolve (i32.const 0) (i32.const 292) (local.get $length)))
    (if (i32.lt_s (global.get $table) (i32.const 0)) (then
      (i32.store8 offset=292 (local.get $length) (i32.const 96))  ;; a backquote
      (return (call $bad (i32.const 256) (i32.add (local.get $length) (i32.const 37))))))
    (global.set $blocked (call $resolve (i32.const 1) (i32.const 136) (i32.const 7)))
    (local.set $n (call $config_int (i32.const 133) (i32.const 3) (i32.const 0)))
    (if (i64.eq (local.get $n) (i64.const 0x8000000000000000)) (then
      ;; With no room for the text, only its length comes back.
      (if (i32.ge_s
            (call $config_str (i32.const 133) (i32.const 3) (i32.const 0)
              (i32.const 0) (i32.const 0))
            (i32.const 0)) (then
        (return (call $bad (i32.const 160) (i32.const 37)))))
      (return (i32.const 0))))
    (if (i64.gt_u (local.get $n) (i64.const 1)) (then
      (return (call $bad (i32.const 160) (i32.const 37)))))
    (global.set $log_flag (i64.shl (local.get $n) (i64.const 8)))
    (i32.const 0))

  ;; Counts, and adds the log flag to a verdict.
  (func $blocks (param $verdict i64) (result i64)
    (if (i32.ge_s (global.get $blocked) (i32.const 0)) (then
      (call $count (global.get $blocked) (i64.const 1))))
    (i64.or (local.get $verdict) (global.get $log_flag)))

  (func (export "decide") (param i32) (result i64)
    (if (call $table_match (global.get $table) (i32.const 8)) (then
      (return (call $blocks (i64.const 0x10002)))))  ;; block, rule 1
    (if (i32.eqz (call $table_match (global.get $table) (i32.const 24))) (then
      (return (i64.const 0))))
    (if (i32.eq (i32.load8_u (i32.const 3)) (i32.const 6)) (then
      (return (call $blocks (i64.const 0x20003)))))  ;; return-rst, rule 2
    ;; "Administratively prohibited" is 13 for ICMP and 1 for ICMPv6.
    (i32.store8 (i32.const 67)
      (select (i32.const 13) (i32.const 1)
        (i32.eq (i32.load8_u (i32.const 2)) (i32.const 4))))
    (call $blocks (i64.const 0x4000020004))))  ;; return-icmp, rule 2, record at 64
