# The BIOS's memory map.

# Stores the map from %es:%di on: for each entry u64 address, u64 length, u32 type, 24 bytes after
# the one before. Starts no entry beyond %bp. Returns the offset after the last entry in %di. Source:
# ACPI 6.5, 15.1 "INT 15H, E820H - Query System Address Map".
memory_map:
        xorl    %ebx, %ebx
1:      movl    $0xe820, %eax
        movl    $20, %ecx
        movl    $0x534d4150, %edx       # "SMAP"
        int     $0x15
        jc      2f
        addw    $24, %di
        testl   %ebx, %ebx
        jz      3f
        cmpw    %bp, %di
        jbe     1b
3:      ret
2:      testl   %ebx, %ebx              # An error after the first entry is the end of the map.
        jnz     3b
        movw    $no_map, %si
        jmp     give_up

no_map: .asciz  "chukka: the BIOS has no memory map (int 15h, E820)\r\n"
