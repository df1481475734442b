# RAM: finding it, allocating it, and the map for the kernel.

# Reads the memory map and finds the end of RAM below 4 GiB.
read_memory_map:
        movl    $map_name, %esi
        call    need
        call    load_scratch
        movl    %edi, map
        movl    scratch, %ecx
        movl    %ecx, map_end
        jmp     3f
1:      cmpl    $RAM, MAP_TYPE(%edi)
        jne     2f
        call    map_entry_end
        jnz     2f
        cmpl    ram_end, %eax
        jbe     2f
        movl    %eax, ram_end
        movl    %eax, top
2:      addl    $MAP_ENTRY, %edi
3:      leal    MAP_ENTRY(%edi), %eax
        cmpl    map_end, %eax
        jbe     1b
        ret

# Returns the end of the entry at %edi in %eax; clears ZF if it is beyond 4 GiB.
map_entry_end:
        movl    MAP_START(%edi), %eax
        movl    MAP_START + 4(%edi), %edx
        addl    MAP_SIZE(%edi), %eax
        adcl    MAP_SIZE + 4(%edi), %edx
        ret

# Allocates %ecx bytes at a multiple of %edx, at the top of RAM; returns the address in %edi.
high:   movl    top, %edi
        subl    %ecx, %edi
        jb      no_room
        negl    %edx
        andl    %edx, %edi
        cmpl    floor, %edi
        jb      no_room
        movl    %edi, top
        ret

# The same from 0xf0000, bottom up.
low:    movl    fseg, %edi
        leal    -1(%edi,%edx), %edi
        negl    %edx
        andl    %edx, %edi
        movl    %edi, %eax
        addl    %ecx, %eax
        jc      no_room
        cmpl    $BIOS_CALL, %eax
        ja      no_room
        movl    %eax, fseg
        ret

# Builds the kernel's map: the published map without the range between low RAM and 1 MiB and the
# tables at the top.
write_memory_map:
        movl    $map_name, item
        movl    map, %esi
        movl    $E820_TABLE, %edi
        jmp     4f
1:      cmpl    $E820_END - 6 * MAP_ENTRY, %edi
        ja      no_room
        cmpl    $RAM, MAP_TYPE(%esi)
        jne     3f
        xchgl   %esi, %edi
        call    map_entry_end
        xchgl   %esi, %edi
        jnz     2f
        cmpl    ram_end, %eax
        jne     2f
        subl    top, %eax
        subl    %eax, MAP_SIZE(%esi)
        sbbl    $0, MAP_SIZE + 4(%esi)
2:      movl    MAP_START(%esi), %eax
        orl     MAP_START + 4(%esi), %eax
        jnz     3f
        pushl   %esi
        movl    $legacy_map, %esi
        movl    $2 * MAP_ENTRY / 4, %ecx
        rep movsl
        popl    %esi
        movl    $HIGH_RAM, %eax
        movl    %eax, MAP_START(%esi)
        subl    %eax, MAP_SIZE(%esi)
        sbbl    $0, MAP_SIZE + 4(%esi)
        jnb     3f
        addl    $MAP_ENTRY, %esi        # It ends below 1 MiB.
        jmp     4f
3:      movl    $MAP_ENTRY / 4, %ecx
        rep movsl
4:      leal    MAP_ENTRY(%esi), %eax
        cmpl    map_end, %eax
        jbe     1b

        movl    top, %eax               # The tables, ...
        movl    ram_end, %edx
        subl    %eax, %edx
        jz      5f
        stosl
        xorl    %eax, %eax
        stosl
        movl    %edx, %eax
        stosl
        xorl    %eax, %eax
        stosl
        movl    $RESERVED, %eax
        stosl
5:      movl    $rom_map, %esi          # ... and this ROM.
        movl    $MAP_ENTRY / 4, %ecx
        rep movsl
        leal    -E820_TABLE(%edi), %eax
        movb    $MAP_ENTRY, %cl
        divb    %cl
        movb    %al, E820_ENTRIES
        ret

legacy_map:
        .long   0, 0, EBDA, 0, RAM
        .long   EBDA, 0, HIGH_RAM - EBDA, 0, RESERVED
rom_map:
        .long   image, 0, ROM_SIZE, 0, RESERVED
