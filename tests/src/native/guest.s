# The tiny guest: what its letters do is told in guest.rs. Linux's 64-bit boot protocol enters it at its first byte.
    .pushsection .rodata.chukka_tiny_guest, "a"
    .globl chukka_tiny_guest_start
    .globl chukka_tiny_guest_end
chukka_tiny_guest_start:
    mov r15, rsi                # the zero page
    mov esp, 0x800000
    cld
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
    mov dx, 0x600               # sleep control: S5 is type 5, bit 5 enables
    mov al, (5 << 2) | 0x20
    out dx, al
.Lhalt:
    hlt
    jmp .Lhalt

.Lreset:
    mov al, 0xfe
    out 0x64, al
    jmp .Lhalt
.Lacpi_reset:
    mov dx, 0x602
    mov al, 0x42
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
.Lflood:
    lea rsi, [rip + .Lflood_text]
    call .Lprint
    jmp .Lflood

.Lcrowd:
    lea rsi, [rip + .Lcrowd_code]
    mov edi, 0x8000
    mov ecx, 8
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
    in eax, dx
    mov eax, -1                 # means nothing to any device: no reset, no power-off
    out dx, eax
    inc bx
    jnz 2b
    jmp .Ldone

.Lwidths:
    mov edi, 0xa00000           # 16 bytes of ones to write; those of zeros are at 0xb00000
    mov ecx, 16
    mov al, -1
    rep stosb
    xor ebx, ebx
2:  mov edx, ebx
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
    inc bx
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

.Ltable:
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
    .byte 'O'
    .long .Lports - .Ltable
    .byte 'P'
    .long .Lpower_off - .Ltable
    .byte 'R'
    .long .Lreset - .Ltable
    .byte 'S'
    .long .Lspam - .Ltable
    .byte 'T'
    .long .Lfault - .Ltable
    .byte 'W'
    .long .Lwidths - .Ltable
    .byte 'X'
    .long .Lmmio - .Ltable
    .byte 'Z'
    .long .Lscribble - .Ltable
    .byte 0
.Lready_text:
    .asciz "ready\r\n"
.Ldone_text:
    .asciz "done\r\n"
.Lpanic_text:
    .ascii "Kernel panic - not syncing: test"
.Lend_of_line:
    .asciz "\r\n"
.Lflood_text:
    .asciz "for ever and ever and ever\r\n"
chukka_tiny_guest_end:
    .popsection
