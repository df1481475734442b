# The tiny guest: what its letters do is told in guest.rs. Linux's 64-bit boot protocol enters it at its first byte.
#
# In a bzImage two pieces come before it, each for one way of the same protocol: real-mode set-up code, which an option ROM enters,
# and the 32-bit entry, for firmware that needs no BIOS. Both end in the next.
    .pushsection .rodata.chukka_tiny_setup, "a"
    .globl chukka_tiny_setup_start
    .globl chukka_tiny_setup_end
    .code16
chukka_tiny_setup_start:        # at offset 0x26c of the set-up code, at whose start DS is
    cli
    xor esi, esi
    mov si, ds
    shl esi, 4                  # where its header is found, as in a zero page
    call 2f                     # over the GDT and its register
    .quad 0, 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
    .word 31
    .long 0
2:  pop bx                      # CS is 0x200 bytes beyond DS
    movzx ebx, bx
    lea eax, [esi + ebx + 0x200]
    mov dword ptr [bx + 0x200 + 34], eax
    lgdt [bx + 0x200 + 32]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea            # jmp 0x10:0x100000, where the rest of the file is
    .long 0x100000
    .word 0x10
chukka_tiny_setup_end:
    .popsection

    .pushsection .rodata.chukka_tiny_entry32, "a"
    .globl chukka_tiny_entry32_start
    .globl chukka_tiny_entry32_end
    .code32
chukka_tiny_entry32_start:      # at any page's start; 0x200 before the 64-bit entry
    mov eax, 0x18
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, 0x800000
    call 2f                     # over the GDT and its register
    .quad 0, 0, 0x00af9b000000ffff, 0x00cf93000000ffff
    .word 31
    .long 0
2:  pop ebp
    cld
    xor eax, eax                # an identity map of 32 MiB will do to begin with
    mov edi, 0x400000
    mov ecx, 0x3000 / 4
    rep stosd
    mov dword ptr [0x400000], 0x401003
    mov dword ptr [0x401000], 0x402003
    mov edi, 0x402000
    mov eax, 0x83
    mov ecx, 16
3:  mov dword ptr [edi], eax
    add eax, 0x200000
    add edi, 8
    dec ecx
    jnz 3b
    mov eax, cr4
    or eax, 0x20                # PAE
    mov cr4, eax
    mov eax, 0x400000
    mov cr3, eax
    mov ecx, 0xc0000080         # EFER: LME
    rdmsr
    or eax, 0x100
    wrmsr
    mov dword ptr [ebp + 34], ebp
    lgdt [ebp + 32]
    mov eax, cr0
    or eax, 0x80000001
    mov cr0, eax
    and ebp, -4096              # it is at a page's start
    add ebp, 0x200
    push 0x10
    push ebp
    retf
chukka_tiny_entry32_end:
    .popsection

    .code64
    .pushsection .rodata.chukka_tiny_guest, "a"
    .globl chukka_tiny_guest_start
    .globl chukka_tiny_guest_end
chukka_tiny_guest_start:
    mov r15, rsi                # the zero page
    mov esp, 0x800000
    cld
    mov edi, 0x410000           # an identity map of 16 GiB: PML4, PDPT, and from 0x420000 on 16 page directories
    xor eax, eax
    mov ecx, 0x2000 / 8
    rep stosq
    mov dword ptr [0x410000], 0x411003
    mov edi, 0x411000
    mov eax, 0x420003
2:  mov qword ptr [rdi], rax
    add eax, 0x1000
    add edi, 8
    cmp edi, 0x411080
    jne 2b
    mov edi, 0x420000
    mov eax, 0x83
3:  mov qword ptr [rdi], rax
    add rax, 0x200000
    add edi, 8
    cmp edi, 0x430000
    jne 3b
    mov eax, 0x410000
    mov cr3, rax
    lea r14, [rip + chukka_tiny_guest_end]

.Lnext:                         # a letter of the script, if there is one left
    movzx eax, byte ptr [r14]
    test al, al
    jz .Lready
    inc r14
    jmp .Lobey
.Lready:
    test r13, r13
    jnz .Lpoll
    inc r13
    mov dx, 0x3f9               # COM1, interrupt enable: received data. It is not taken, but somebody listens now
    mov al, 1
    out dx, al
    lea rsi, [rip + .Lready_text]
    call .Lprint
.Lpoll:                         # a letter from COM1
    mov dx, 0x3fd
    in al, dx
    test al, 1
    jnz .Lgot
    pause
    jmp .Lpoll
.Lgot:
    mov dx, 0x3f8
    in al, dx
.Lobey:
    lea rsi, [rip + .Ltable]    # letter, then the distance of what it does
.Lsearch:
    mov bl, byte ptr [rsi]
    test bl, bl
    jz .Lecho
    cmp bl, al
    je .Lfound
    add rsi, 5
    jmp .Lsearch
.Lecho:
    mov dx, 0x3f8
    out dx, al
    jmp .Lnext
.Lfound:
    movsxd rax, dword ptr [rsi + 1]
    lea rbx, [rip + .Ltable]
    add rax, rbx
    jmp rax

.Lprint:                        # the text at RSI up to its zero
    lodsb
    test al, al
    jz 2f
    mov dx, 0x3f8
    out dx, al
    jmp .Lprint
2:  ret

.Lprint_hex:                    # RAX in 16 digits, and a space
    mov rbp, rax
    mov ecx, 16
2:  rol rbp, 4
    mov eax, ebp
    and eax, 15
    cmp al, 10
    jb 3f
    add al, 0x61 - 0x30 - 10
3:  add al, 0x30
    mov dx, 0x3f8
    out dx, al
    dec ecx
    jnz 2b
    mov al, 0x20
    out dx, al
    ret

.Lagain:                        # the script from its start
    lea r14, [rip + chukka_tiny_guest_end]
    jmp .Lnext

.Ldone:
    mov dx, 0x3fc               # COM1, whatever was done to it: no loopback, 8 bits, no divisor latch
    xor eax, eax
    out dx, al
    dec dx
    mov al, 3
    out dx, al
    lea rsi, [rip + .Ldone_text]
    call .Lprint
    jmp .Lnext

.Lpower_off:
    mov dx, 0x600               # microvm's sleep control: S5 is type 5, bit 5 enables
    mov al, (5 << 2) | 0x20
    out dx, al
    mov dx, 0x604               # pc's PM1 control: S5 is type 0, bit 13 enables
    mov ax, 0x2000
    out dx, ax
.Lhalt:
    hlt
    jmp .Lhalt

.Ldebug_exit:                   # what comes after it does not count
    mov eax, 0x1234
    mov dx, 0xf4
    out dx, ax
    mov al, 0x7f
    out dx, al
    ud2
.Ldebug_exit_below:             # the first byte goes to port 0xf3
    mov eax, 0x44332211
    mov dx, 0xf3
    out dx, eax
    jmp .Lhalt

.Lpvpanic:                      # bit 0: the kernel has panicked
    mov al, 1
    mov dx, 0x505
    out dx, al
    jmp .Lhalt

.Lwatchdog:                     # pc's i6300esb: twice 10 ticks of about a millisecond
    mov eax, 0x80000c10         # the address of its registers, in BAR 0 of 00:01.4
    call .Lselect_config
    in eax, dx
    and eax, 0xfffffff0
    mov ebx, eax
    mov ecx, 4
2:  mov byte ptr [rbx + 0xc], 0x80
    mov byte ptr [rbx + 0xc], 0x86
    mov dword ptr [rbx + rcx], 10
    sub ecx, 4
    jz 2b
    mov eax, 0x80000c68         # its lock register: enabled
    call .Lselect_config
    mov al, 2
    out dx, al
    jmp .Lnext
.Lselect_config:
    mov dx, 0xcf8
    out dx, eax
    mov dx, 0xcfc
    ret

.Lreset:
    mov al, 0xfe
    out 0x64, al
    jmp .Lhalt
.Lacpi_reset:
    mov dx, 0x602               # microvm's reset register
    mov al, 0x42
    out dx, al
    mov dx, 0xcf9               # pc's
    mov al, 0x06
    out dx, al
    jmp .Lhalt
.Lspam:
    mov al, 0xfe
    out 0x64, al
    mov dx, 0x602
    mov al, 0x42
    out dx, al
    jmp .Lspam

.Lcount:
    mov al, 0x40                # a byte of the CMOS that nobody else uses
    out 0x70, al
    in al, 0x71
    inc al
    out 0x71, al
    mov bl, al
    add al, 0x30
    mov dx, 0x3f8
    out dx, al
    lea rsi, [rip + .Lend_of_line]
    call .Lprint
    cmp bl, 3
    je .Lpower_off
    jmp .Lnext

.Lfault:
    ud2                         # the IDT is empty
.Lfloat:
    mov eax, 0xd0000000
    fld dword ptr [rax]
    jmp .Lhalt
.Ljump:
    mov eax, 0xd0000000
    jmp rax
.Lpanic_line:
    lea rsi, [rip + .Lpanic_text]
    call .Lprint
    jmp .Lnext
.Lpanic:
    lea rsi, [rip + .Lpanic_text]
    call .Lprint
    jmp .Lhalt
.Ltext:                         # the script's bytes up to the next quotation mark
    mov al, byte ptr [r14]
    test al, al
    jz .Lnext
    inc r14
    cmp al, 0x22
    je .Lnext
    mov dx, 0x3f8
    out dx, al
    jmp .Ltext
.Lline:                         # bytes from COM1 up to the end of a line
    mov dx, 0x3fd
    in al, dx
    test al, 1
    jz .Lline
    mov dx, 0x3f8
    in al, dx
    cmp al, 0x0a
    je .Lnext
    cmp al, 0x0d
    jne .Lline
    jmp .Lnext
.Lpoll_timer:
    mov dx, 0x608
    in eax, dx
    jmp .Lpoll_timer
.Lspin:
    jmp .Lspin
.Lidle:                         # nothing is set to interrupt it
    sti
    hlt
    jmp .Lidle
.Lflood:
    lea rsi, [rip + .Lflood_text]
    call .Lprint
    jmp .Lflood

.Lcrowd:
    lea rsi, [rip + .Lcrowd_code]
    mov edi, 0x8000
    mov ecx, 8
.Lstart_others:                 # with ECX bytes of code from RSI, at EDI
    rep movsb
    mov ebx, 0xfee00300         # local APIC, interrupt command: INIT to all others, then start-up at 0x8000
    mov dword ptr [rbx], 0xc4500
    mov ecx, 1000
6:  pause
    dec ecx
    jnz 6b
    mov dword ptr [rbx], 0xc4608
    jmp .Lnext
.Lcrowd_code:                   # 16-bit: mov dx, 0x3f8; mov al, '.'; out dx, al; jmp to the out
    .byte 0xba, 0xf8, 0x03, 0xb0, 0x2e, 0xee, 0xeb, 0xfd

.Lports:
    xor ebx, ebx
2:  mov edx, ebx
    call .Lresets
    je 3f
    in eax, dx
    mov eax, -1                 # means nothing to any other device
    out dx, eax
3:  inc bx
    jnz 2b
    jmp .Ldone

.Lresets:                       # ZF: four bytes of ones at port DX reset the machine, by port 0x92 or 0xcf9
    lea eax, [rdx - 0x8f]
    and eax, ~3
    jz 2f
    lea eax, [rdx - 0xcf6]
    and eax, ~3
2:  ret

.Lwidths:
    mov edi, 0xa00000           # 16 bytes of ones to write; those of zeros are at 0xb00000
    mov ecx, 16
    mov al, -1
    rep stosb
    xor ebx, ebx
2:  mov edx, ebx
    call .Lresets
    je 4f
    in al, dx
    in ax, dx
    mov edi, 0x900000
    mov ecx, 5
    rep insb
    mov ecx, 3
    rep insw
    mov ecx, 3
    rep insd
    mov ebp, 0xa00000
3:  mov esi, ebp
    mov eax, dword ptr [rsi]
    out dx, al
    out dx, ax
    mov ecx, 5
    rep outsb
    mov esi, ebp
    mov ecx, 3
    rep outsw
    mov esi, ebp
    mov ecx, 3
    rep outsd
    add ebp, 0x100000
    cmp ebp, 0xb00000
    je 3b
4:  inc bx
    jz .Ldone
    cmp bx, 0x800
    jne 2b
    mov bx, 0xfff0
    jmp 2b

.Lmmio:
    lea rbp, [rip + .Lmmio_list]
4:  mov ebx, dword ptr [rbp]
    add rbp, 4
    test ebx, ebx
    jz .Ldone
    mov al, byte ptr [rbx]
    mov ax, word ptr [rbx]
    mov eax, dword ptr [rbx]
    mov rax, qword ptr [rbx]
    mov byte ptr [rbx], al
    mov word ptr [rbx], ax
    mov dword ptr [rbx], eax
    mov qword ptr [rbx], rax
    mov esi, ebx
    mov edi, 0x900000
    mov ecx, 7
    rep movsb
    mov esi, 0x900000
    mov edi, ebx
    mov ecx, 7
    rep movsb
    jmp 4b
.Lmmio_list:                    # ends of RAM and of its hole, I/O APIC, KVM's own pages, the top
    .long 0x3fffffc, 0x4000000, 0xbffffffc, 0xc0000000, 0xd0000000
    .long 0xfec00000, 0xfec00ffc, 0xfeffc000, 0xfffffff8, 0

.Lfw_cfg_initrd:                # DMA of the signature to every page of the initrd
    mov ebx, dword ptr [r15 + 0x218]
    mov ecx, dword ptr [r15 + 0x21c]
    mov dword ptr [0x700000], 0x0a000000
    mov dword ptr [0x700004], 0x04000000
    mov dword ptr [0x700008], 0
9:  mov eax, ebx
    bswap eax
    mov dword ptr [0x70000c], eax
    mov dword ptr [0x700000], 0x0a000000
    mov eax, 0x700000
    call .Lfw_cfg_run
    add ebx, 0x1000
    sub ecx, 0x1000
    ja 9b
    jmp .Ldone
.Lwhere_initrd:                 # RBX: its address, R12: its bytes
    mov ebx, dword ptr [r15 + 0xc0] # ext_ramdisk_image
    shl rbx, 32
    mov eax, dword ptr [r15 + 0x218] # ramdisk_image
    or rbx, rax
    mov r12d, dword ptr [r15 + 0xc4] # ext_ramdisk_size
    shl r12, 32
    mov eax, dword ptr [r15 + 0x21c] # ramdisk_size
    or r12, rax
    ret
.Lend_of_initrd:
    call .Lwhere_initrd
    mov rax, rbx
    call .Lprint_hex
    mov rax, r12
    call .Lprint_hex
    mov rax, qword ptr [rbx + r12 - 8]
    call .Lprint_hex
    jmp .Lnext
.Lsum_initrd:
    call .Lwhere_initrd
    xor eax, eax
2:  add rax, qword ptr [rbx]
    rol rax, 1
    add rbx, 0x1000
    sub r12, 0x1000
    ja 2b
    call .Lprint_hex
    jmp .Lnext
.Linitrd_again:                 # a DMA of the initrd, as firmware makes it, to where it is
    call .Lwhere_initrd
    mov dword ptr [0x700000], 0x0a001200
    mov eax, r12d
    bswap eax
    mov dword ptr [0x700004], eax
    bswap rbx
    mov qword ptr [0x700008], rbx
    mov eax, 0x700000
    call .Lfw_cfg_run
    mov eax, dword ptr [0x700000]
    bswap eax
    add al, 0x30
    mov dx, 0x3f8
    out dx, al
    jmp .Lnext
.Linitrd:
    mov ebx, dword ptr [r15 + 0x218] # ramdisk_image
    mov ecx, dword ptr [r15 + 0x21c] # ramdisk_size
    jmp .Lread
.Lmemory:
    mov ebx, 0x1000000
    mov ecx, 20 << 20
.Lread:
    mov al, byte ptr [rbx]
    add ebx, 0x1000
    sub ecx, 0x1000
    ja .Lread
    jmp .Ldone

.Lscribble:
    mov ebx, 0x1100000
5:  mov byte ptr [rbx], 0x5a
    add ebx, 0x1000
    cmp ebx, 0x2100000
    jne 5b
    jmp .Lnext

.Lfw_cfg:                       # DMA operations of every kind at addresses of every kind
    lea r8, [rip + .Lfw_cfg_controls]
2:  lea r9, [rip + .Lfw_cfg_lengths]
3:  lea r10, [rip + .Lfw_cfg_addresses]
4:  mov eax, dword ptr [r8]     # all of it is big-endian
    bswap eax
    mov dword ptr [0x700000], eax
    mov eax, dword ptr [r9]
    bswap eax
    mov dword ptr [0x700004], eax
    mov rax, qword ptr [r10]
    bswap rax
    mov qword ptr [0x700008], rax
    mov eax, 0x700000
    call .Lfw_cfg_run
    mov eax, dword ptr [0x700000]
    bswap eax
    cmp eax, 1                  # ERROR or nothing
    ja .Lfw_cfg_bad
    add r10, 8
    lea rax, [rip + .Lfw_cfg_controls]
    cmp r10, rax
    jne 4b
    add r9, 4
    lea rax, [rip + .Lfw_cfg_addresses]
    cmp r9, rax
    jne 3b
    add r8, 4
    lea rax, [rip + .Lfw_cfg_end]
    cmp r8, rax
    jne 2b
    lea r8, [rip + .Lfw_cfg_descriptors]
5:  mov eax, dword ptr [r8]     # descriptors that are not memory, or not all of them
    add r8, 4
    test eax, eax
    jz .Ldone
    call .Lfw_cfg_run
    jmp 5b
.Lselectors:
    xor ebx, ebx
7:  mov dx, 0x510
    mov eax, ebx
    out dx, ax
    inc dx
    mov edi, 0x900000
    mov ecx, 80
    rep insb
    inc bx
    jnz 7b
    jmp .Ldone
.Lfw_cfg_bad:
    lea rsi, [rip + .Lfw_cfg_bad_text]
    call .Lprint
    jmp .Lnext
.Lfw_cfg_run:                   # the descriptor at EAX
    bswap eax
    mov dx, 0x518
    out dx, eax
    ret
.Lfw_cfg_lengths:
    .long 0, 1, 0x1001, 0x80000000, 0xffffffff
.Lfw_cfg_addresses:             # the end of 64 MiB, no memory at all, ROM, the end of all addresses
    .quad 0x3fff000, 0x3ffffff, 0x4000000, 0xd0000000, 0xfffff000, 0x100000000, -1, -4096
.Lfw_cfg_controls:              # key, and SELECT 8, READ 2, WRITE 16, SKIP 4, ERROR 1, bits without meaning
    .long 0, 1, 2, 4, 16, 0x1e, 0xffe0, 0xffff, 0x0019000a, 0x0019000c, 0x00190018, 0x0020000a, 0x00200018
    .long 0x0000000a, 0x003f000a, 0x0040000a, 0x4000000a, 0x80000002, 0x8000000a, 0xffff000a, 0xffffffff
.Lfw_cfg_end:
.Lfw_cfg_descriptors:
    .long 0x3fffff8, 0x3fffffd, 0x4000000, 0xd0000000, 0xfffffff8, 0xffffffff, 0

.Lfw_cfg_crowd:                 # all other CPUs select, read by port and by DMA for ever, all with one descriptor
    lea rsi, [rip + .Lfw_cfg_crowd_code]
    mov edi, 0x8000
    mov ecx, 0x80               # more than it is
    jmp .Lstart_others
    .code16
.Lfw_cfg_crowd_code:
    xor ax, ax
    mov ds, ax
    mov es, ax
    cld
8:  mov dword ptr [0x1000], 0x0a001900 # big-endian: select the directory and read it
    mov dword ptr [0x1004], 0x00080000
    mov dword ptr [0x1008], 0
    mov dword ptr [0x100c], 0x00200000 # to 0x2000
    mov dx, 0x514
    xor eax, eax
    out dx, eax
    mov dx, 0x518
    mov eax, 0x00100000         # 0x1000
    out dx, eax
    mov dx, 0x510
    mov ax, 0x19
    out dx, ax
    inc dx
    mov di, 0x3000
    mov cx, 64
    rep insb
    jmp 8b
    .code64

.Lwrite_second:                 # a sector where no BIOS looks for it
    mov r9d, 1
    jmp 2f
.Lwrite_first:
    xor r9d, r9d
2:  mov edi, 0x500000           # queue, header at 0x503000, status at 0x503100, the sector at 0x504000
    xor eax, eax
    mov ecx, 0x5000 / 8
    rep stosq
    lea rsi, [rip + .Lsector]
    mov edi, 0x504000
    mov ecx, 0x60               # at most: the text comes there
    rep movsb
    mov edi, 0x504060
3:  mov al, byte ptr [r14]      # its text: the script up to the next quotation mark
    test al, al
    jz 4f
    inc r14
    cmp al, 0x22
    je 4f
    stosb
    jmp 3b
4:  mov word ptr [0x5041fe], 0xaa55
    mov r8d, 2                  # a disk
    call .Ldevice
    jz .Lnot_written
    mov edi, 0x500000
    xor eax, eax
    call .Lqueue
    mov dword ptr [rbx + 0x70], 15
    mov dword ptr [0x503000], 1 # a write, to this sector
    mov dword ptr [0x503008], r9d
    mov dword ptr [0x500000], 0x503000
    mov dword ptr [0x500008], 16
    mov dword ptr [0x50000c], 0x00010001 # the next is 1
    mov dword ptr [0x500010], 0x504000
    mov dword ptr [0x500018], 512
    mov dword ptr [0x50001c], 0x00020001 # the next is 2
    mov dword ptr [0x500020], 0x503100
    mov dword ptr [0x500028], 1
    mov dword ptr [0x50002c], 0x00000002 # for the device to write
    mov byte ptr [0x503100], 0xff
    mov word ptr [0x501002], 1
    mov dword ptr [rbx + 0x50], 0 # notify
7:  pause
    cmp word ptr [0x502002], 1
    jne 7b
    cmp byte ptr [0x503100], 0
    jne .Lnot_written
    jmp .Lnext
.Lnot_written:
    lea rsi, [rip + .Lnot_written_text]
    call .Lprint
    jmp .Lnext

.Ldevice:                       # RBX: the registers of microvm's first virtio device of type R8D, with only VERSION_1; ZF: none
    mov ebx, 0xfeb00000
2:  cmp dword ptr [rbx + 8], r8d
    je 3f
    add ebx, 0x200
    cmp ebx, 0xfeb01000
    jne 2b
    ret
3:  mov dword ptr [rbx + 0x70], 0 # status: reset; acknowledged, with a driver
    mov dword ptr [rbx + 0x70], 3
    mov dword ptr [rbx + 0x24], 0 # features
    mov dword ptr [rbx + 0x20], 0
    mov dword ptr [rbx + 0x24], 1
    mov dword ptr [rbx + 0x20], 1
    mov dword ptr [rbx + 0x70], 11
    test ebx, ebx
    ret
.Lqueue:                        # its queue EAX: 4 descriptors at EDI, then the two rings, a page each
    mov dword ptr [rbx + 0x30], eax
    mov dword ptr [rbx + 0x38], 4
    mov dword ptr [rbx + 0x80], edi
    mov dword ptr [rbx + 0x84], 0
    lea eax, [rdi + 0x1000]
    mov dword ptr [rbx + 0x90], eax
    mov dword ptr [rbx + 0x94], 0
    lea eax, [rdi + 0x2000]
    mov dword ptr [rbx + 0xa0], eax
    mov dword ptr [rbx + 0xa4], 0
    mov dword ptr [rbx + 0x44], 1
    ret

.Lpages:                        # 64 pages for the console, each of one character, in one request
    mov edi, 0x500000           # the queue
    xor eax, eax
    mov ecx, 0x3000 / 8
    rep stosq
    mov edi, 0x600000
    mov al, 0x20
2:  mov ecx, 0x1000
    rep stosb
    inc al
    cmp al, 0x60
    jne 2b
    mov r8d, 3                  # a console
    call .Ldevice
    jz .Lnot_written
    mov edi, 0x500000
    mov eax, 1
    call .Lqueue
    mov dword ptr [rbx + 0x70], 15
    mov dword ptr [0x500000], 0x600000
    mov dword ptr [0x500008], 0x40000
    mov word ptr [0x501002], 1
    mov dword ptr [rbx + 0x50], 1 # notify
    jmp .Lnext

.Lask:
    mov edi, 0x500000           # queue 0, queue 1, and room for the answer at 0x506000
    xor eax, eax
    mov ecx, 0x7000 / 8
    rep stosq
    mov r8d, 1                  # a network card
    call .Ldevice
    jz .Lnot_written
    mov edi, 0x500000
    xor eax, eax
    call .Lqueue
    mov edi, 0x503000
    mov eax, 1
    call .Lqueue
    mov dword ptr [rbx + 0x70], 15
    mov dword ptr [0x500000], 0x506000
    mov dword ptr [0x500008], 0x1000
    mov dword ptr [0x50000c], 2 # for the device to write
    mov word ptr [0x501002], 1
    lea rax, [rip + .Larp]
    mov qword ptr [0x503000], rax
    mov dword ptr [0x503008], 12 + 42
    mov word ptr [0x504002], 1
    mov dword ptr [rbx + 0x50], 0 # notify
    mov dword ptr [rbx + 0x50], 1
2:  pause
    cmp word ptr [0x502002], 1
    jne 2b
    jmp .Lnext
.Larp:                          # a virtio header, and the question for 10.0.2.2's address from 10.0.2.15
    .zero 12
    .byte 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 0x08, 0x06
    .byte 0, 1, 8, 0, 6, 4, 0, 1, 0x52, 0x54, 0x00, 0x12, 0x34, 0x56, 10, 0, 2, 15, 0, 0, 0, 0, 0, 0, 10, 0, 2, 2

    .code16
.Lsector:                       # at 0x7c00: prints its text; an exclamation mark powers off
    xor ax, ax
    mov ds, ax
    cld
    mov si, 0x7c60
2:  lodsb
    test al, al
    jz 3f
    cmp al, 0x21
    je 4f
    mov dx, 0x3f8
    out dx, al
    jmp 2b
4:  mov dx, 0x600
    mov al, (5 << 2) | 0x20
    out dx, al
    mov dx, 0x604
    mov ax, 0x2000
    out dx, ax
3:  hlt
    jmp 3b
    .code64

.Ltable:
    .byte '{{'
    .long .Lwrite_first - .Ltable
    .byte '}}'
    .long .Lwrite_second - .Ltable
    .byte '>'
    .long .Lpages - .Ltable
    .byte '&'
    .long .Lask - .Ltable
    .byte '*'
    .long .Lagain - .Ltable
    .byte '='
    .long .Lsum_initrd - .Ltable
    .byte '$'
    .long .Lend_of_initrd - .Ltable
    .byte '@'
    .long .Linitrd_again - .Ltable
    .byte 'A'
    .long .Lacpi_reset - .Ltable
    .byte 'B'
    .long .Lcrowd - .Ltable
    .byte 'C'
    .long .Lcount - .Ltable
    .byte 'D'
    .long .Ldone - .Ltable
    .byte 'E'
    .long .Lfloat - .Ltable
    .byte 'F'
    .long .Lflood - .Ltable
    .byte 'G'
    .long .Lfw_cfg - .Ltable
    .byte 'H'
    .long .Lhalt - .Ltable
    .byte 'I'
    .long .Linitrd - .Ltable
    .byte 'J'
    .long .Ljump - .Ltable
    .byte 'K'
    .long .Lpanic - .Ltable
    .byte 'L'
    .long .Lpanic_line - .Ltable
    .byte 'M'
    .long .Lmemory - .Ltable
    .byte 'N'
    .long .Ldebug_exit - .Ltable
    .byte 'O'
    .long .Lports - .Ltable
    .byte 'P'
    .long .Lpower_off - .Ltable
    .byte 'Q'
    .long .Lfw_cfg_crowd - .Ltable
    .byte 'R'
    .long .Lreset - .Ltable
    .byte 'S'
    .long .Lspam - .Ltable
    .byte 'T'
    .long .Lfault - .Ltable
    .byte 'W'
    .long .Lwidths - .Ltable
    .byte 'U'
    .long .Lfw_cfg_initrd - .Ltable
    .byte 'V'
    .long .Lselectors - .Ltable
    .byte 'X'
    .long .Lmmio - .Ltable
    .byte 'Y'
    .long .Ldebug_exit_below - .Ltable
    .byte 'Z'
    .long .Lscribble - .Ltable
    .byte '"'
    .long .Ltext - .Ltable
    .byte ','
    .long .Lline - .Ltable
    .byte ':'
    .long .Lpoll_timer - .Ltable
    .byte ';'
    .long .Lidle - .Ltable
    .byte '^'
    .long .Lpvpanic - .Ltable
    .byte '~'
    .long .Lspin - .Ltable
    .byte '%'
    .long .Lwatchdog - .Ltable
    .byte 0
.Lready_text:
    .asciz "ready\r\n"
.Ldone_text:
    .asciz "done\r\n"
.Lfw_cfg_bad_text:
    .asciz "control was not written\r\n"
.Lnot_written_text:
    .asciz "not written\r\n"
.Lpanic_text:
    .ascii "Kernel panic - not syncing: test"
.Lend_of_line:
    .asciz "\r\n"
.Lflood_text:
    .asciz "for ever and ever and ever\r\n"
chukka_tiny_guest_end:
    .popsection
