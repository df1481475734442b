# The firmware of the flash tests: what its operations do is told in flash_guest.rs. It is the last page below 4 GiB.
    .pushsection .rodata.chukka_flash_guest, "a"
    .globl chukka_flash_guest_start
    .globl chukka_flash_guest_end
    .set PAGE, 0xfffff000
    .set GDTR, 56               # its offset
    .code16
chukka_flash_guest_start:
    cli
    .byte 0x66                  # a GDT at a 32-bit address
    lgdt cs:[0xf000 + GDTR]
    mov eax, cr0
    or al, 1
    mov cr0, eax
    .byte 0x66, 0xea            # jmp 8:1f
    .long PAGE + 1f - chukka_flash_guest_start
    .word 8
    .balign 8
6:  .quad 0, 0x00cf9b000000ffff, 0x00cf93000000ffff
    .org chukka_flash_guest_start + GDTR
    .word 23
    .long PAGE + 6b - chukka_flash_guest_start
    .code32
1:  mov eax, 16
    mov ds, eax
    mov es, eax
    mov ss, eax
    mov esp, 0x7000
    cld
    mov esi, dword ptr [0xfffffff4]     # the operations
    mov ebx, dword ptr [0xfffffff8]     # the chip
2:  lodsd
    mov ecx, eax
    shr ecx, 8
    and ecx, 0xffff             # offset
    mov edx, eax
    shr edx, 24                 # value
    cmp al, 1
    je 11f
    cmp al, 2
    je 12f
    cmp al, 3
    je 13f
    cmp al, 4
    je 14f
    cmp al, 5
    je 15f
10: mov edx, 0x604              # power-off by the PM1 control register
    mov eax, 0x2000
    out dx, ax
3:  hlt
    jmp 3b
11: mov byte ptr [ebx + ecx], dl
    jmp 2b
12: mov al, byte ptr [ebx + ecx]
    mov ebp, eax
    shr al, 4
    call 20f
    mov eax, ebp
    and al, 15
    call 20f
    mov al, ' '
    call 21f
    jmp 2b
13: mov al, dl
    call 21f
    jmp 2b
14: mov edx, 0xcf9              # reset
    mov al, 6
    out dx, al
    jmp 3b
15: cmp byte ptr [ebx + ecx], dl
    je 10b
    jmp 2b
20: add al, '0'                 # prints a digit
    cmp al, '9'
    jbe 21f
    add al, 'a' - '0' - 10
21: push eax                    # prints a byte on COM1
    mov edx, 0x3fd
22: in al, dx
    test al, 0x20
    jz 22b
    pop eax
    mov edx, 0x3f8
    out dx, al
    ret
chukka_flash_guest_end:
    .popsection
    .code64
