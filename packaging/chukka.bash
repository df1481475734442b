# Made by: cargo run -p chukka --example manual
# bash completion for chukka

# Completes one of the option names $1 with the dashes that were typed, or with $2.
_chukka_options() {
    local cur=${COMP_WORDS[COMP_CWORD]} dashes=$2
    case $cur in
        --*) dashes=-- ;;
        -?*) dashes=- ;;
    esac
    cur=${cur#-}
    mapfile -t COMPREPLY < <(compgen -P "$dashes" -W "$1" -- "${cur#-}")
}

_chukka_words() {
    mapfile -t COMPREPLY < <(compgen -W "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_chukka_paths() {
    compopt -o filenames
    mapfile -t COMPREPLY < <(compgen "$1" -- "${COMP_WORDS[COMP_CWORD]}")
}

_chukka() {
    local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} command=
    COMPREPLY=()
    ((COMP_CWORD > 1)) && command=${COMP_WORDS[1]}
    case $command in
        install)
            case $prev in
                -location|--location|-l|--l) return ;;
                -template|--template) _chukka_paths -f; return ;;
                -name|--name) return ;;
                -state|--state) _chukka_paths -d; return ;;
                -memory|--memory) return ;;
                -vcpus|--vcpus) return ;;
                -disk|--disk) _chukka_paths -f; return ;;
                -network|--network) return ;;
                -machine|--machine) _chukka_words "microvm pc help"; return ;;
                -graphics|--graphics) return ;;
                -wait|--wait) return ;;
                -kernel|--kernel) _chukka_paths -f; return ;;
                -initrd|--initrd) _chukka_paths -f; return ;;
                -append|--append) return ;;
                -initrd-inject|--initrd-inject) _chukka_paths -f; return ;;
                -preseed|--preseed) _chukka_paths -f; return ;;
                -kickstart|--kickstart) _chukka_paths -f; return ;;
                -autoyast|--autoyast) _chukka_paths -f; return ;;
                -autocf|--autocf) return ;;
                -timeout|--timeout) return ;;
                -retries|--retries) return ;;
                -limit|--limit) return ;;
                -cache|--cache) _chukka_paths -d; return ;;
                -checksum|--checksum) return ;;
                -os-variant|--os-variant) return ;;
                -osinfo|--osinfo) return ;;
                -connect|--connect) return ;;
                -virt-type|--virt-type) return ;;
                -hvm|--hvm) return ;;
                -paravirt|--paravirt) return ;;
                -cdrom|--cdrom) return ;;
                -pxe|--pxe) return ;;
                -import|--import) return ;;
                -boot|--boot) _chukka_words "menu=on strict=on splash-time= reboot-timeout="; return ;;
                -unattended|--unattended) return ;;
                -cloud-init|--cloud-init) return ;;
                -autostart|--autostart) return ;;
                -transient|--transient) return ;;
                -print-xml|--print-xml) return ;;
                -console|--console) return ;;
                -serial|--serial) _chukka_words "stdio mon:stdio file: null none"; return ;;
                -filesystem|--filesystem) return ;;
                -cpu|--cpu) _chukka_words "host max help"; return ;;
                -check|--check) return ;;
            esac
            if [[ $cur == -* ]]; then
                _chukka_options "location template name state memory vcpus disk network machine graphics noautoconsole wait noreboot restart-install dry-run kernel initrd append initrd-inject preseed kickstart autoyast autocf no-location-args offline refresh timeout retries limit cache checksum os-variant osinfo connect virt-type hvm paravirt cdrom pxe import boot unattended cloud-init autostart transient print-xml console serial filesystem cpu check" --
            else
                _chukka_paths -f
            fi
            return ;;
        start)
            case $prev in
                -name|--name) return ;;
            esac
            if [[ $cur == -* ]]; then
                _chukka_options "name bootdisk" --
            else
                _chukka_paths -f
            fi
            return ;;
        template)
            if [[ $cur == -* ]]; then
                _chukka_options "" --
            else
                _chukka_words "list show"
            fi
            return ;;
        fetch)
            case $prev in
                -kernel|--kernel) _chukka_paths -f; return ;;
                -initrd|--initrd) _chukka_paths -f; return ;;
                -append|--append) return ;;
                -initrd-inject|--initrd-inject) _chukka_paths -f; return ;;
                -preseed|--preseed) _chukka_paths -f; return ;;
                -kickstart|--kickstart) _chukka_paths -f; return ;;
                -autoyast|--autoyast) _chukka_paths -f; return ;;
                -autocf|--autocf) return ;;
                -timeout|--timeout) return ;;
                -retries|--retries) return ;;
                -limit|--limit) return ;;
                -cache|--cache) _chukka_paths -d; return ;;
                -checksum|--checksum) return ;;
                -output|--output) _chukka_paths -d; return ;;
                -state|--state) _chukka_paths -d; return ;;
                -format|--format) _chukka_words "text json"; return ;;
            esac
            if [[ $cur == -* ]]; then
                _chukka_options "kernel initrd append initrd-inject preseed kickstart autoyast autocf no-location-args offline refresh timeout retries limit cache checksum output state format dry-run" --
            else
                _chukka_paths -f
            fi
            return ;;
        inspect)
            if [[ $cur == -* ]]; then
                _chukka_options "json" --
            else
                _chukka_paths -f
            fi
            return ;;
        restart-install)
            if [[ $cur == -* ]]; then
                _chukka_options "" --
            else
                _chukka_paths -f
            fi
            return ;;
        bootloader)
            case $prev in
                -entry|--entry) return ;;
                -kernel|--kernel) return ;;
                -initrd|--initrd) return ;;
                -args|--args) return ;;
                -output|--output) _chukka_paths -f; return ;;
                -output-format|--output-format) _chukka_words "text json sxp simple simple0"; return ;;
                -output-directory|--output-directory) _chukka_paths -d; return ;;
            esac
            if [[ $cur == -* ]]; then
                _chukka_options "list entry kernel initrd args output output-format output-directory" --
            else
                _chukka_paths -f
            fi
            return ;;
        disk)
            case $prev in
                -format|--format) _chukka_words "text json"; return ;;
                -format|--format) _chukka_words "text json"; return ;;
                -format|--format) _chukka_words "text json"; return ;;
                -format|--format) _chukka_words "text json"; return ;;
            esac
            if [[ $cur == -* ]]; then
                _chukka_options "format json format json format json format json" --
            else
                _chukka_words "create info check resize"
            fi
            return ;;
        cache)
            case $prev in
                -cache|--cache) _chukka_paths -d; return ;;
                -older-than|--older-than) return ;;
            esac
            if [[ $cur == -* ]]; then
                _chukka_options "cache older-than all" --
            else
                _chukka_words "list prune path"
            fi
            return ;;
        help)
            if [[ $cur == -* ]]; then
                _chukka_options "" --
            else
                _chukka_words "install start template fetch inspect restart-install bootloader disk cache help version"
            fi
            return ;;
        version)
            if [[ $cur == -* ]]; then
                _chukka_options "" --
            else
                :
            fi
            return ;;
    esac
    case $prev in
        -kernel|--kernel) _chukka_paths -f; return ;;
        -initrd|--initrd) _chukka_paths -f; return ;;
        -append|--append) return ;;
        -location|--location) _chukka_paths -f; return ;;
        -bootdisk|--bootdisk) _chukka_paths -f; return ;;
        -entry|--entry) return ;;
        -state|--state) _chukka_paths -d; return ;;
        -initrd-inject|--initrd-inject) _chukka_paths -f; return ;;
        -preseed|--preseed) _chukka_paths -f; return ;;
        -kickstart|--kickstart) _chukka_paths -f; return ;;
        -autoyast|--autoyast) _chukka_paths -f; return ;;
        -autocf|--autocf) return ;;
        -fetch|--fetch) return ;;
        -checksum|--checksum) return ;;
        -bios|--bios) _chukka_words "builtin seabios seabios-microvm qboot"; return ;;
        -pflash|--pflash) _chukka_paths -f; return ;;
        -L|--L) _chukka_paths -d; return ;;
        -option-rom|--option-rom) _chukka_paths -f; return ;;
        -boot|--boot) _chukka_words "menu=on strict=on splash-time= reboot-timeout="; return ;;
        -fw_cfg|--fw_cfg) return ;;
        -smbios|--smbios) return ;;
        -credential|--credential) return ;;
        -m|--m) return ;;
        -smp|--smp) return ;;
        -cpu|--cpu) _chukka_words "host max help"; return ;;
        -machine|--machine|-M|--M) _chukka_words "microvm pc help"; return ;;
        -accel|--accel) _chukka_words "kvm"; return ;;
        -rtc|--rtc) _chukka_words "base=utc base=localtime"; return ;;
        -uuid|--uuid) return ;;
        -name|--name) return ;;
        -drive|--drive) return ;;
        -hda|--hda) _chukka_paths -f; return ;;
        -hdb|--hdb) _chukka_paths -f; return ;;
        -hdc|--hdc) _chukka_paths -f; return ;;
        -hdd|--hdd) _chukka_paths -f; return ;;
        -cdrom|--cdrom) _chukka_paths -f; return ;;
        -nic|--nic) _chukka_words "none"; return ;;
        -netdev|--netdev) return ;;
        -net|--net) _chukka_words "none"; return ;;
        -object|--object) return ;;
        -serial|--serial) _chukka_words "stdio mon:stdio file: null none"; return ;;
        -chardev|--chardev) return ;;
        -debugcon|--debugcon) _chukka_words "stdio file: null none"; return ;;
        -global|--global) return ;;
        -device|--device) _chukka_words "isa-debugcon isa-debug-exit vmcoreinfo"; return ;;
        -msg|--msg) _chukka_words "timestamp"; return ;;
        -trace|--trace) _chukka_words "fw_cfg"; return ;;
        -timeline|--timeline) _chukka_paths -f; return ;;
        -gdb|--gdb) return ;;
        -qmp|--qmp) return ;;
        -monitor|--monitor) _chukka_words "none"; return ;;
        -mon|--mon) return ;;
        -action|--action) return ;;
        -watchdog|--watchdog) return ;;
        -watchdog-action|--watchdog-action) return ;;
        -timeout|--timeout) return ;;
        -silence|--silence) return ;;
        -fail-on|--fail-on) return ;;
        -json|--json) _chukka_paths -f; return ;;
        -vmcore|--vmcore) _chukka_paths -f; return ;;
        -pidfile|--pidfile) _chukka_paths -f; return ;;
        -sandbox|--sandbox) return ;;
        -run-with|--run-with) return ;;
        -display|--display) _chukka_words "none"; return ;;
        -vnc|--vnc) _chukka_words "none"; return ;;
        -parallel|--parallel) _chukka_words "none"; return ;;
        -vga|--vga) _chukka_words "none"; return ;;
        -d|--d) return ;;
    esac
    if [[ $cur == -* || COMP_CWORD -gt 1 ]]; then
        _chukka_options "kernel initrd append location no-location-args bootdisk entry state initrd-inject preseed kickstart autoyast autocf offline fetch checksum dry-run bios pflash L option-rom boot fw_cfg smbios credential m smp cpu machine M accel enable-kvm rtc uuid name drive hda hdb hdc hdd cdrom snapshot nic netdev net object serial chardev nographic nodefaults debugcon global device msg trace timeline gdb s S qmp monitor mon no-reboot action watchdog watchdog-action timeout silence fail-on json vmcore daemonize pidfile sandbox run-with help h version display vnc parallel vga no-user-config no-hpet d" -
    else
        _chukka_words "install start template fetch inspect restart-install bootloader disk cache help version"
    fi
}

complete -F _chukka chukka
